import type { Position } from '../protocol/position.js'
import type { Refused } from './errors.js'
import type { Frame, FrameData, JoinData, UpFrame } from './links/link.js'
import type { Core, Part } from './part.js'
import type { Channel, Locks } from './platform.js'
import type { Handle, Room } from './room-types.js'
import type { CoreClient, RealtimeError } from './types.js'

/** What the hub writes. */
export interface Letter {
  /** The link that it is for; absent: for all. */
  readonly to?: string
  /** The link to the server is open. */
  readonly up?: Pick<FrameData, 'limits'> & Pick<CoreClient, 'connectionId' | 'userId' | 'transport'> | undefined
  /** It is not, for good where there is a reason. */
  readonly down?: { readonly reason?: Refused | undefined }
  readonly failed?: Refused
  readonly frame?: Frame
  /** A room without a position, which has lost events. */
  readonly gap?: string
}

/** What the link of a tab writes. */
interface Mail {
  readonly from: string
  /** The hub that a frame is for: one that stood still may read it long after another one has. */
  readonly to?: string
  readonly hello?: true
  readonly bye?: true
  /** The network or the page has changed, as a page sees that is shown: whether it is online again. */
  readonly wake?: boolean
  readonly frame?: UpFrame & { readonly data?: unknown }
}

export interface HubOptions {
  /** Makes the client that has the link. */
  connect (hub: Part): CoreClient
  readonly locks: Locks
  readonly place: string
  readonly channel: Channel
  /** Ends the hub. */
  readonly signal: AbortSignal
}

interface Asked { readonly since?: Position, readonly last?: number }
interface Past extends FrameData { readonly position: Position, readonly events: readonly Frame[] }

const AWAY: Refused = { code: 'unavailable', message: 'no link', retry: 'now' }
const NOT_JOINED: Refused = { code: 'not_joined', message: 'join the room first', retry: 'never' }
/** Questions of the server that are denied on some links and not on others; of more it is not told. */
const DENIED = 1_000
/** Removals of a room that are remembered: as many as there are values of one event. */
const REMOVED = 1_000
/** Times that the newest events are read for a tab while others drive them out; then it begins with a gap. */
const READS = 5

/** What of an error can be written to another tab. */
function plain ({ message, cause, ...rest }: RealtimeError): Refused { return { ...rest, message } as Refused }

/**
 * Holds the link for all tabs. It answers joins from what its own rooms know, hands every frame of a room to all tabs,
 * and the answer to a message to the tab that sent it.
 *
 * @returns a function that closes it
 */
export function runHub ({ connect, locks, place, channel, signal }: HubOptions): () => void {
  const hub = `${Math.random()}`
  /** The rooms of each link. */
  const links = new Map<string, Map<string, Handle>>()
  const tabs = new Set<string>()
  /** Messages that the server has not answered, and the links that sent them. */
  const sent = new Map<string, string>()
  /** On how many links nobody answers a question of the server, while others may. */
  const denials = new Map<string, number>()
  /** What was removed from each room while the hub was in it: a tab that comes back is told by nobody else. */
  const removed = new WeakMap<Room, Map<string, Frame>>()
  let welcome: Letter['up']
  let line: Core['line']
  /** The handle that was made last. */
  let latest: Handle | undefined
  /** The room whose frame is handled, where the tabs know from the frame itself that the room has a gap or ends. */
  let told: string | undefined

  let post = (letter: Letter): void => { channel.postMessage({ ...letter, hub }) }
  const leave = (from: string): void => {
    // Those that are gone have said so, too.
    denials.clear()
    links.get(from)?.forEach(({ public: room }) => { void room.leave() })
    links.delete(from)
  }
  /** From then on the link has rooms, and is over with its tab. */
  const greet = (from: string): Map<string, Handle> => {
    const rooms = new Map<string, Handle>()
    const tab = from.split(' ')[0]!
    links.set(from, rooms)
    if (!tabs.has(tab)) {
      tabs.add(tab)
      // The lock of a tab is free when the tab is gone.
      // It is shared, because another hub that waits for it may stand still when it gets it.
      locks.request(`${place} ${tab}`, { signal, mode: 'shared' }, async () => {
        tabs.delete(tab)
        for (const each of [...links.keys()]) if (each.startsWith(`${tab} `)) leave(each)
      }).catch(() => {})
    }
    return rooms
  }

  const client = connect((core) => {
    const { host, shown, rooms, createHandle } = core
    const { up, frame, down } = host
    line = core.line
    core.isHub = true
    core.createHandle = (...given) => (latest = createHandle(...given))
    host.up = (data) => {
      // As JSON, which has no functions.
      welcome = JSON.parse(JSON.stringify({ ...shown, limits: data.limits })) as Letter['up']
      post({ up: welcome })
      up(data)
    }
    host.frame = (each) => {
      const { type, id, room, data } = each
      if (id && (type === 'ack' || type === 'error')) {
        const to = sent.get(id)
        // The credential is that of the hub: all is sent again with a fresh one.
        if (to && type === 'error' && data!.retry === 'refresh') return void line.lost(data as Refused)
        if (sent.delete(id)) post({ to: to!, frame: each })
      } else if (room) {
        if (type === 'removed') {
          const all = removed.get(rooms.get(room)!)
          const key = JSON.stringify(data)
          all?.delete(key)
          all?.set(key, each)
          if (all?.size! > REMOVED) all!.delete(all!.keys().next().value!)
        }
        // What a join means for a room depends on what the room was before it.
        if (type !== 'joined') told = room
        // The id is that of a question of the hub.
        post({ frame: { ...each, id: undefined } as Frame })
      }
      frame(each)
      told = undefined
    }
    host.down = () => {
      sent.forEach((to, id) => { post({ to, frame: { type: 'error', id, data: AWAY } }) })
      sent.clear()
      down()
    }
  })
  /** Tells the tabs that there is no link, so that they join again when there is one. */
  const away = (reason?: Refused): void => {
    welcome = undefined
    for (const from of [...links.keys()]) {
      leave(from)
      greet(from)
    }
    post({ down: { reason } })
  }
  client.on('state', ({ state, ...reason }) => {
    if (state === 'closed') away(reason.code ? { ...reason, retry: 'never' } as Refused : undefined)
  })
  // A link that is replaced at once is no matter of the tabs: the rooms of the hub go on where they were.
  client.on('error', (error: RealtimeError) => {
    const { retryIn, room: name } = error
    if (retryIn === undefined) return
    const failed = plain(error)
    if (name) links.forEach((rooms, to) => { if (told !== name && rooms.has(name)) post({ to, failed }) })
    else {
      post({ failed })
      if (client.state === 'reconnecting') away()
    }
  })
  client.on('gap', ({ room: name }) => {
    if (told === name) return
    const { epoch, offset } = [...links.values()].find((rooms) => rooms.has(name!))?.get(name!)?.room.position ?? {}
    post(epoch ? { frame: { type: 'gap', room: name!, data: { epoch, to: offset! } } as Frame } : { gap: name! })
  })

  /** Lets a link into a room that the hub is in: what it has missed, and then what all are told. */
  const admit = async (from: string, frame: UpFrame, handle: Handle): Promise<void> => {
    const { room, host } = handle
    const { name, members, texts } = room
    const { since, last } = (frame.data ?? {}) as Asked
    const past: Frame[] = []
    let resumed = since && since.epoch === room.position?.epoch
    let at = since
    let reads = 1
    const isBehind = (): unknown => (resumed || (last && !since)) && (at?.offset ?? -1) < room.position?.offset!
    while (isBehind()) {
      const question = at ? { since: at } : { limit: last }
      const answer = await new Promise<Frame | undefined>((resolve) => { host.ask('history', name, question, resolve) })
      if (handle.end) return
      const data = (answer?.data ?? {}) as Past
      if (answer?.type !== 'ack') {
        return post({ to: from, frame: { ...frame, type: 'error', data: answer?.data ?? AWAY } as Frame })
      }
      if (at && !data.resumed) {
        resumed = false
        if (!since && reads++ === READS) break
        // What was read is not followed by what is kept any more.
        past.length = 0
        at = undefined
      } else {
        past.push(...data.events)
        at = data.position
      }
    }
    const top = room.position
    const offset = resumed ? since!.offset : past[0] ? past[0].offset! - 1 : at && !since ? at.offset : top?.offset
    const data = {
      ...room.entered,
      epoch: room.position?.epoch,
      offset,
      resumed: since && !!resumed,
      ...room.sequence! >= 0 && {
        members: { sequence: room.sequence, ...room.isListed && { list: [...members.values()] } }
      }
    } as JoinData
    const send = (frame: Frame): void => { post({ to: from, frame: { ...frame, room: name } }) }
    send({ type: 'ack', id: frame.id!, data } as Frame)
    past.forEach(send)
    if (isBehind()) send({ type: 'gap', data: { epoch: top!.epoch, from: at!.offset, to: top!.offset } } as Frame)
    const state = room.state as ReadonlyMap<string, ReadonlyMap<string, unknown>>
    for (const [type, values] of state) {
      for (const data of values.values()) send({ type, data, timestamp: Date.now() } as Frame)
    }
    // Only what was heard to be removed: the server sends values behind the answer to a join, so that one which is
    // missing here may exist all the same.
    removed.get(room)?.forEach((each) => {
      const { event, key } = each.data!
      if (!state.get(event!)?.has(key!)) send(each)
    })
    texts?.wholes().forEach(send)
  }

  const join = (from: string, rooms: Map<string, Handle>, frame: UpFrame): void => {
    const name = frame.room!
    void rooms.get(name)?.public.leave()
    client.join(name, frame.data as Asked)
    const handle = latest!
    rooms.set(name, handle)
    // Also those that the room lets go by itself after a break, of which the server says nothing.
    handle.on('removed', (data: object) => { post({ to: from, frame: { type: 'removed', room: name, data } as Frame }) })
    let isAdmitted = false
    let isAnswered = false
    const { room, enter } = handle
    if (!removed.has(room)) removed.set(room, new Map())
    handle.enter = (entered) => {
      enter(entered)
      if (!isAdmitted) void admit(from, frame, handle).then(() => { isAnswered = true })
      // The members may be others than before the break: by a hole in the sequence the tab asks for them.
      else if (room.sequence! >= 0) {
        const data = { sequence: room.sequence! + 2, joined: [], left: [] }
        post({ to: from, frame: { type: 'presence', room: name, data } as Frame })
      }
      isAdmitted = true
    }
    if (room.isIn) handle.enter(room.entered)
    const refuse = (error: Error): void => {
      // The end of the link is told to all.
      if (rooms.get(name) !== handle || handle.isMeant || client.state === 'closed') return
      rooms.delete(name)
      // A join has one answer.
      const id = isAnswered ? undefined : frame.id
      const data = plain(error as RealtimeError)
      if (id || told !== name) post({ to: from, frame: { ...frame, id, type: 'error', data } as Frame })
    }
    handle.on('', refuse)
    // A frame that is too large is refused at once.
    if (handle.end) refuse(handle.end)
  }

  const receive = (from: string, rooms: Map<string, Handle>, frame: UpFrame): void => {
    const { type, id, room } = frame
    const handle = rooms.get(room!)
    const answer = (type: string, data?: object): void => {
      post({ to: from, frame: { ...frame, type, data } as Frame })
    }
    if (type === 'ping') answer('pong')
    else if (type === 'join') join(from, rooms, frame)
    // It names no room.
    else if (type === 'ack') {
      // Nobody listens there. Others may, until all have said so.
      if (JSON.stringify(frame.error) === '{}') {
        const count = (denials.get(id!) ?? 0) + 1
        if (denials.size > DENIED) denials.clear()
        denials.set(id!, count)
        if (count < links.size) return
      }
      denials.delete(id!)
      line.send(frame)
    } else if (!handle) answer('error', NOT_JOINED)
    else if (type === 'leave') {
      rooms.delete(room!)
      void handle.public.leave().then(() => { answer('ack') })
    // What the server is asked while the link is replaced, or the room not joined on it, has no answer or a wrong one.
    } else if (!handle.room.isIn) answer('error', AWAY)
    else if (['members', 'history', 'read'].includes(type)) {
      handle.host.ask(type, room!, frame.data as object, (found) => {
        answer(found?.type ?? 'error', found?.data ?? AWAY)
      })
    } else if (id) {
      sent.set(id, from)
      line.send(frame)
    }
  }

  channel.onmessage = ({ data: { from, to, hello, bye, wake, frame } }: { data: Mail }) => {
    if (!from) return
    if (wake !== undefined) {
      // A client that is over would begin again.
      if (client.state !== 'closed') line.wake(wake)
    } else if (hello) {
      greet(from)
      // Without a link to the server it says that there is a hub.
      post({ to: from, up: welcome })
    } else if (bye) leave(from)
    // A tab says hello before there is a hub, as the first one does, and hears of the hub when all are told.
    else if (to === hub) receive(from, links.get(from) ?? greet(from), frame!)
  }
  post({})

  return () => {
    client.close()
    // What was under way comes to its end too, and is told to nobody: the tabs have heard that the link is down.
    post = () => {}
    channel.close()
  }
}
