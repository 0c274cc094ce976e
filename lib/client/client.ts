import type { AnyAddress } from '../contract/types.js'
import { backoff } from './backoff.js'
import { bucket } from './token-bucket.js'
import { checkOptions } from './check.js'
import { failure, refused, type Refused } from './errors.js'
import { createHandle } from './handle.js'
import { createReconnectingLink, type Shown } from './reconnecting-link.js'
import type { Frame, FrameData, SharedLink } from './links/link.js'
import { listeners } from './listeners.js'
import { createQueue } from './queue.js'
import { createRoom } from './room.js'
import type { Handle, Room, RoomHost } from './room-types.js'
import type { growingTexts } from './growing-texts.js'
import { now } from './timers.js'
import type { ConnectOptions, CoreClient, JoinOptions } from './types.js'

/**
 * Messages of one room in flight; the server queues 64. POSTs go one after another, because nothing else keeps their
 * order.
 */
const WINDOW = 32
const RATE = { messages: 50, burst: 100 }
/** Rooms that one stream or poll may name. */
const ROOMS = 32
/** Milliseconds until a message that the server did not accept is sent again. */
const AGAIN = 1_000

/** Makes the link that several clients share, by a client of its own; `undefined` where the platform cannot. */
export type Share = (url: string, options: ConnectOptions, create: typeof createClient) => SharedLink | undefined

/** What parts of the client that not every page needs are told. */
export interface Hooks {
  /** Called with what `join` is about to return. */
  equip? (handle: Handle): void
  /** Called when a link has opened. */
  up? (data: FrameData): void
  /** Called with each frame of the server, before the client handles it. */
  frame? (frame: Frame): void
  /** Called when a link is gone. */
  down? (): void
}

/**
 * Makes a client, and connects it.
 *
 * @param hooks of parts that not every page needs
 * @throws an error of code `REALTIME_ERR_OPTIONS` for an option that is unknown or wrong, and for an invalid URL
 */
export function createClient (url: string, options: ConnectOptions, hooks: Hooks = {}): CoreClient {
  checkOptions(options)
  const rooms = new Map<string, Room>()
  /** Requests that wait for an answer; they are called without one when the link ends. */
  const calls = new Map<string, (answer?: Frame) => void>()
  /** Rooms into which the server has put this client and that the application has not joined. */
  const given = new Map<string, FrameData>()
  const { on, emit } = listeners()
  let count = 0
  const shown = { state: 'connecting', transport: 'websocket' } as Shown
  let sendAt = 0
  let largest = Infinity
  let take = bucket(RATE)

  const say = (event: string, detail: object): void => { emit(detail, event) }
  const ask: RoomHost['ask'] = (type, room, data, done) => {
    const id = `${++count}`
    calls.set(id, done)
    line.send({ type, room, id, data })
  }

  const fail = (reason: Refused, more?: object): void => {
    say('error', failure({ transport: shown.transport, ...reason, ...more }))
  }

  const release = (handle: Handle, error: Error, isMeant: boolean): void => {
    const { room } = handle
    room.handles.delete(handle)
    if (!room.handles.size && rooms.get(room.name) === room) rooms.delete(room.name)
    handle.close(error, isMeant)
    for (const message of queue.waiting.values()) if (message.handle === handle) message.settle(error)
  }

  const end = (room: Room, reason: Refused, isMeant: boolean, isSaid = isMeant): void => {
    const error = failure({ ...reason, room: room.name })
    for (const handle of room.handles) release(handle, error, isMeant)
    if (!isSaid) say('error', error)
  }

  /** Handles the refusal of a room, which is final or temporary. */
  const refuse = (room: Room, reason: Refused): void => {
    if (reason.retry === 'never') return end(room, reason, false)
    room.out()
    const retryIn = (reason.retryAfter ?? 0) + backoff(room.attempt)
    room.until = now() + retryIn
    fail(reason, { room: room.name, attempt: ++room.attempt, retryIn })
    pump()
  }

  const host: RoomHost = {
    send: (handle, type, data, how) => queue.add(handle, type, data, largest, how),
    leave: (handle) => new Promise((resolve) => {
      if (handle.end) return resolve()
      const { name, handles, isAsked } = handle.room
      release(handle, failure({ ...refused('left', 'the room was left'), room: name }), true)
      // The others who have joined the room stay in it.
      if (handles.size || !isAsked || !line.isUp) return resolve()
      ask('leave', name, undefined, () => {
        resolve()
        if (line.isUp && line.isHttp) line.after('leave', 0, line.relink)
      })
    }),
    ack (id, answer) { line.send({ type: 'ack', id, ...answer }) },
    pass (frame) {
      if (line.isUp) line.send(frame)
      return !!line.isUp
    },
    ask,
    fail (reason, room) { fail(reason, { room }) },
    gap (room) { say('gap', { room, code: 'gap', message: 'events were lost' }) }
  }

  /** Sends what may be sent now: first joins, then messages in order. */
  const pump = (): void => {
    if (!line.isUp) return
    const at = now()
    const later = (wait: number): void => { line.after('pump', wait, pump) }
    let wait = 0
    for (const room of rooms.values()) {
      if (room.isAsked) continue
      const { name, position: since, last, wasIn, until } = room
      // A stream or a poll serves the rooms with which it was opened, so another room needs another link.
      if (line.isHttp || until > at) {
        line.after(`join ${name}`, Math.max(0, until - at), line.isHttp ? line.relink : pump)
      } else {
        if ((wait = take())) return later(wait)
        room.isAsked = true
        const data = { since, last: wasIn ? undefined : last, connection: line.former, known: room.texts?.known() }
        ask('join', name, data, (answer) => {
          if (!answer || !room.handles.size) return
          if (answer.type !== 'ack') return refuse(room, answer.data as Refused)
          room.enter(answer.data ?? {})
          pump()
        })
      }
    }
    if (sendAt > at) return later(sendAt - at)
    for (const message of queue.waiting.values()) {
      const { handle: { room }, isSent, frame } = message
      const weight = room.concurrent?.includes(frame.type) ? 0 : 1
      if (isSent || !room.isIn || (weight && room.flying >= (line.isHttp ? 1 : WINDOW))) continue
      if ((wait = (room.take ?? take)())) return later(wait)
      message.isSent = true
      room.flying += message.weight = weight
      line.send(frame)
    }
  }
  const queue = createQueue(options, pump)

  /** Handles the answer to a message or to a request. */
  const answered = ({ type, id = '', data }: Frame): boolean => {
    const done = calls.get(id)
    const message = queue.waiting.get(id)
    const reason = data as Refused
    if (done) {
      calls.delete(id)
      done({ type, data } as Frame)
    } else if (message?.isSent) {
      if (type === 'ack') message.settle(undefined, data)
      else if (reason.retry === 'refresh') line.lost(reason)
      // Sending it again is safe: either it has had no effect, or the server knows its id.
      else if (reason.retryAfter || reason.retry === 'now' || reason.code === 'rate_limited' ||
        reason.code === 'unavailable') {
        message.isSent = false
        message.handle.room.flying -= message.weight!
        sendAt = now() + (reason.retryAfter ?? AGAIN)
        pump()
      } else message.settle(failure({ ...reason, room: message.frame.room! }))
    }
    return !!id
  }

  const enter = (entered: FrameData['rooms'], isAgain: boolean): void => {
    for (const [name, data] of Object.entries(entered ?? {})) rooms.get(name)?.enter(data, isAgain)
    pump()
  }

  const shared = options.share ? (options.share as Share)(url, options, createClient) : undefined
  const line = createReconnectingLink(url, options, {
    query () {
      // Rooms that are refused for now are left out, because they would make the server refuse the whole request.
      const asked = [...rooms.values()].filter(({ until }) => until <= now())
      if (line.isHttp) {
        for (const room of asked.splice(ROOMS)) end(room, refused('room_limit', `at most ${ROOMS} rooms`), false)
      }
      const last = Math.max(...asked.map(({ wasIn, last = 0 }) => wasIn ? 0 : last))
      for (const room of asked) room.isAsked = line.isHttp
      const known = asked.map((room, index) => [index, room.texts?.known()] as const).filter(([, texts]) => texts)
      return {
        rooms: asked.map(({ name }) => `&room=${encodeURIComponent(name)}`).join(''),
        first: asked
          .map(({ position }, index) => position ? `&at=${index}:${position.epoch}:${position.offset}` : '')
          .join('') +
          (last > 0 ? `&last=${last}` : '') + (line.former ? `&connection=${line.former}` : '') +
          (known.length ? `&known=${encodeURIComponent(JSON.stringify(known))}` : '')
      }
    },
    up (data) {
      const { limits, rooms } = data
      hooks.up?.(data)
      largest = limits?.message ?? Infinity
      take = bucket(limits?.rate ?? RATE)
      enter(line.isHttp ? rooms : undefined, false)
    },
    frame (frame) {
      hooks.frame?.(frame)
      const { type, data = {} } = frame
      const name = frame.room ?? ''
      const room = rooms.get(name)
      if (type === 'rooms' && !frame.room) enter(data.rooms, true)
      else if (type === 'ack' || type === 'error') {
        if (answered(frame)) return
        if (room) refuse(room, data as Refused)
      } else if (type === 'joined' || type === 'left') {
        if (type === 'left') {
          given.delete(name)
          if (room) end(room, refused(data.code!, data.message!), false)
          // The query of polls that are under way still names the room.
          if (room && line.isHttp) line.after(type, 0, line.relink)
        } else if (room) room.enter(data)
        else given.set(name, data)
        say(type, { ...data, room: name })
      } else {
        // The answer to a question for a text is a frame like those that are not asked for.
        if (frame.id) calls.delete(frame.id)
        if (room?.isIn) room.frame(frame)
      }
    },
    down (reason) {
      hooks.down?.()
      rooms.forEach((room) => { room.out() })
      for (const message of queue.waiting.values()) {
        if (message.isSent && reason?.code === 'message_too_large') message.settle(failure(reason))
        message.isSent = false
      }
      calls.forEach((done) => { done() })
      calls.clear()
      given.clear()
    },
    refuse (reason) {
      const room = rooms.get(reason.room ?? '')
      if (room) refuse(room, reason)
      return !!room
    },
    say,
    fail,
    over (reason, isMeant) {
      shared?.over()
      for (const room of rooms.values()) end(room, reason, isMeant, true)
      if (!isMeant) fail(reason)
    }
  }, shown, shared)

  return Object.assign(shown, {
    join (address: string | AnyAddress, { last, since, signal }: JoinOptions = {}): never {
      const name = typeof address === 'string' ? address : address.name
      const known = rooms.get(name)
      const room = known ?? createRoom(name, { since, last }, host, options.texts as typeof growingTexts | undefined)
      rooms.set(name, room)
      const handle = createHandle(room, host, signal)
      hooks.equip?.(handle)
      if (shown.state === 'closed') end(room, refused('closed', 'the client was closed'), true)
      else if (known?.wasIn) handle.enter({ growing: known.texts?.growing() })
      else {
        // Such a membership ends with the answer of a poll.
        const data = shown.transport === 'polling' ? undefined : given.get(name)
        if (!known && data) room.enter(data)
        pump()
      }
      // The types of the room are those of the address: nothing of them exists at run time.
      return handle.public as never
    },
    on,
    reconnect: line.reconnect,
    close: line.close
  })
}
