import type { AnyAddress } from '../contract/types.js'
import { backoff } from './backoff.js'
import { bucket, type Take } from './token-bucket.js'
import { CLOSED, failure, refused, type Refused } from './errors.js'
import { createHandle } from './handle.js'
import { createReconnectingLink, type LinkHost, type Shown } from './reconnecting-link.js'
import type { Frame, FrameData } from './links/link.js'
import { listeners } from './listeners.js'
import type { Core, Part } from './part.js'
import { createQueue, type Waiting } from './queue.js'
import { createRoom } from './room.js'
import type { Handle, Room, RoomHost } from './room-types.js'
import { now } from './timers.js'
import type { CoreOptions, CoreClient, JoinOptions } from './types.js'

/**
 * Messages of one room in flight; the server queues 64. POSTs go one after another, because nothing else keeps their
 * order, also those of a tab for which another one sends them.
 */
const WINDOW = 32
/** Milliseconds until a message that the server did not accept is sent again. */
const AGAIN = 1_000

/**
 * Makes a client, and connects it.
 *
 * @param url without a query; absolute, with the scheme http(s) or ws(s), or else a path, which is never dialled
 * @param options of whose parts the later ones are around the earlier ones
 */
export function createClient (url: string, options: CoreOptions): CoreClient {
  const rooms = new Map<string, Room>()
  /** What is on its way and has no answer, messages and requests: called without one when the link ends. */
  const calls = new Map<string, (answer?: Frame) => void>()
  const { on, emit } = listeners()
  let count = 0
  /** Questions to leave a room that have no answer. */
  let leaving = 0
  const shown = { state: 'connecting', transport: 'websocket' } as Shown
  let take: Take
  const queue = createQueue(options, () => { pump() })

  /** Sends what is answered, and calls back with the answer; without one when the link ends. */
  const request = (frame: Waiting['frame'], done: (answer?: Frame) => void): void => {
    calls.set(frame.id, done)
    line.send(frame)
  }
  const ask: RoomHost['ask'] = (type, room, data, done) => { request({ type, room, id: `${++count}`, data }, done) }

  const fail = (reason: Refused, more?: object): void => {
    emit(failure({ transport: shown.transport, ...reason, ...more }), 'error')
  }

  const release = (handle: Handle, reason: Refused, isMeant: boolean): void => {
    const { room } = handle
    const error = failure({ ...reason, room: room.name })
    room.handles.delete(handle)
    if (!room.handles.size) rooms.delete(room.name)
    queue.waiting.forEach((message) => { if (message.handle === handle) message.settle(error) })
    handle.close(error, isMeant)
  }

  const end = (room: Room, reason: Refused, isMeant: boolean, isSaid = isMeant): void => {
    room.handles.forEach((handle) => { release(handle, reason, isMeant) })
    pump()
    if (!isSaid) fail(reason, { room: room.name })
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

  /** A stream or a poll serves the rooms with which it was opened, so that other rooms need another link. */
  const askAnew = (): void => {
    // The server knows of no leave that comes behind the end of the link.
    if (line.isHttp) line.after('joins', 0, () => { if (line.isUp && !leaving) line.relink() })
  }

  const roomHost: RoomHost = {
    send: queue.add,
    async leave (handle) {
      if (handle.end) return
      const { name, handles, isAsked } = handle.room
      release(handle, refused('left', 'room left'), true)
      pump()
      // The others who have joined the room stay in it.
      if (handles.size || !isAsked) return
      // A stream or a poll that is being opened has named the room.
      if (!line.isUp) return line.relink()
      leaving++
      await new Promise((resolve) => { ask('leave', name, undefined, resolve) })
      leaving--
      askAnew()
    },
    ask,
    fail,
    say: emit
  }

  /** Sends a message to the present link, and handles the answer. @param weight 1 where others wait for it */
  const deliver = (message: Waiting, weight: number): void => {
    const { room } = message.handle
    request(message.frame, (answer) => {
      if (!answer) return
      const { type, data } = answer as Frame & { data: Refused }
      if (type === 'ack') message.settle(0, answer)
      else if (data.retry === 'refresh') line.lost(data)
      // Sending it again is safe: either it has had no effect, or the server knows its id.
      else if (data.retryAfter || data.retry === 'now' || data.code === 'rate_limited' || data.code === 'unavailable') {
        room.sendAt[weight] = now() + (data.retryAfter ?? AGAIN)
      } else message.settle(failure({ ...data, room: room.name }))
      pump()
    })
  }

  /** Sends what may be sent now: first joins, then messages in order, but for those that wait for no other. */
  const pump = (): void => {
    if (!line.isUp) return
    const at = now()
    /** Messages of one room in flight. */
    const most = shown.transport === 'websocket' ? WINDOW : 1
    for (const room of rooms.values()) {
      room.flying = 0
      if (room.isAsked) continue
      const { name, last, until } = room
      if (until > at) line.after(`join ${name}`, until - at, pump)
      else if (line.isHttp) askAnew()
      else {
        const wait = take()
        if (wait) line.after('joins', wait, pump)
        else {
          room.isAsked = true
          const data = { since: room.position, last, connection: line.former, known: room.texts?.known() }
          ask('join', name, data, (answer) => {
            if (!answer || !room.handles.size) return
            if (answer.type !== 'ack') return refuse(room, answer.data as Refused)
            enter({ [name]: answer.data! })
          })
        }
      }
    }
    for (const message of queue.waiting.values()) {
      const { handle: { room }, frame } = message
      /** 0 where it waits for no other, nor any other for it; otherwise 1. */
      const weight = +!room.entered.concurrent?.includes(frame.type)
      if (!calls.has(frame.id)) {
        if (!room.isIn || (weight && room.flying! >= most)) continue
        const sendAt = room.sendAt[weight]!
        const wait = sendAt > at ? sendAt - at : (room.take ?? take)(weight)
        if (wait) {
          // Those behind it in its room wait with it, and no other room: what it waits for may be of its room alone.
          room.flying! += weight * most
          line.after(weight + room.name, wait, pump)
        } else deliver(message, weight)
      }
      room.flying! += weight
    }
  }

  const enter = (entered: FrameData['rooms']): void => {
    for (const name in entered) {
      // Whoever is told of a room may give up the link.
      if (!line.isUp) return
      const room = rooms.get(name)
      room?.enter(entered[name]!)
      if (!line.isUp) room?.out()
    }
    pump()
  }

  const host: LinkHost = {
    query () {
      // Rooms that are refused for now are left out, because they would make the server refuse the whole request.
      const asked = [...rooms.values()].filter(({ until }) => until <= now())
      const last = Math.max(0, ...asked.map(({ last = 0 }) => last))
      for (const room of asked) room.isAsked = line.isHttp
      return {
        // Each poll may come to another node, which knows nothing of the polls before it.
        rooms: (line.former ? `&connection=${line.former}` : '') +
          asked.map(({ name }) => `&room=${encodeURIComponent(name)}`).join(''),
        first: (last ? `&last=${last}` : '') + core.whereOf(asked)
      }
    },
    up ({ limits }) { take = bucket(limits?.rate) },
    frame (frame) {
      const { type, id, room: name, data = {} } = frame
      const room = rooms.get(name!)
      const done = calls.get(id!)
      calls.delete(id!)
      // That of a link, and of its rooms where it was opened with some. A WebSocket asks for each by a frame, which may
      // say more than that it is to be entered.
      if (!name && !id) enter(line.isHttp ? data?.rooms : {})
      else if (type === 'ack' || type === 'error') {
        if (done) done(frame)
        else if (room && !id) refuse(room, data as Refused)
      } else if (type === 'joined' || type === 'left') {
        if (type === 'joined') enter({ [name!]: data })
        else if (room) {
          end(room, { ...data, retry: 'never' } as Refused, false)
          // The query of polls that are under way still names the room.
          askAnew()
        }
        emit({ ...data, room: name }, type)
      // The answer to a question for a text is a frame like those that are not asked for.
      } else if (room?.isIn) room.frame(frame)
    },
    down () {
      rooms.forEach((room) => { room.out() })
      calls.forEach((done) => { done() })
      calls.clear()
    },
    refuse (reason) {
      const room = rooms.get(reason.room!)
      if (room) refuse(room, reason)
      return room
    },
    fail,
    say: emit,
    over (reason, isMeant) {
      rooms.forEach((room) => { end(room, reason, isMeant, true) })
      if (!isMeant) fail(reason)
    }
  }
  const line = createReconnectingLink(url, options, host, shown)
  const core: Core = {
    url,
    options,
    shown,
    rooms,
    line,
    host,
    end,
    createRoom,
    createHandle,
    createClient,
    roomOf (name, join) {
      const room = rooms.get(name) ?? core.createRoom(name, join, roomHost)
      rooms.set(name, room)
      return room
    },
    whereOf: (asked) => asked
      .map(({ position }, index) => position ? `&at=${index}:${position.epoch}:${position.offset}` : '').join('')
  }
  options.use?.forEach((part) => { (part as Part)(core) })
  line.reconnect()

  return Object.assign(shown, {
    join (address: string | AnyAddress, { signal, ...join }: JoinOptions = {}): never {
      const room = core.roomOf((address as Partial<AnyAddress>).name ?? address as string, join)
      const handle = core.createHandle(room, roomHost, signal)
      // Before any text is here, it is known what the server has told of them.
      if (room.wasIn) handle.enter({ growing: room.texts?.known() ? room.texts.growing() : room.entered.growing })
      else if (shown.state === 'closed') end(room, CLOSED, true)
      else pump()
      // The types of the room are those of the address: nothing of them exists at run time.
      return handle.public as never
    },
    on,
    reconnect: line.reconnect,
    close: line.close
  })
}
