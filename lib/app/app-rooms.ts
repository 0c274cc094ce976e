import type { Peers } from '../admission/peer.js'
import type { BroadcastAcks } from '../dispatch/broadcast-acks.js'
import type { Adapter, ControlMessage, Published } from '../adapters/adapter.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { Denials } from '../auth/denials.js'
import {
  checkClosed, checkGroup, checkRevoked, checkTarget, graceOption, publishOptions, type Revoked
} from './call-options.js'
import type { AnyAddress } from '../contract/types.js'
import type { Readiness } from '../admission/readiness.js'
import type { Dispatch } from '../dispatch/dispatch.js'
import type { Elsewhere } from '../dispatch/elsewhere.js'
import type { Gathering } from '../dispatch/gathering.js'
import type { Drain } from '../connection/drain.js'
import { inPart, isUncertain, Refusal } from '../errors/refusal.js'
import { REALTIME_ERR_NOT_READY, REALTIME_ERR_OPTIONS, REALTIME_ERR_ROOM } from '../errors/misuse.js'
import { callOptions, checkCount, checkMoment, checkTime, signalOption, stringOption } from '../options/call-values.js'
import { DEFAULTS } from '../options/defaults.js'
import { codes, isCode, type Code } from '../protocol/codes.js'
import { isPosition, type Position } from '../protocol/position.js'
import type { Census } from '../rooms/census.js'
import type { Hub } from '../rooms/hub.js'
import type { Revocations } from '../auth/revocations.js'
import { inBatches, inTurns } from '../structures/slices.js'
import type { Slots } from '../admission/slots.js'
import type {
  AckResult, BroadcastOptions, BroadcastResult, GroupTarget, History, MemberEntry, RevokeTarget, Rooms, Target
} from '../types/rooms.js'
import type { ConnectionPage, ConnectionQuery } from '../types/connections.js'
import type { StreamOptions, StreamText } from '../types/streams.js'
import { ALL, roomOfUser } from '../rooms/built-in.js'
import { OpeningWriter } from '../rooms/opening-writer.js'
import { shape, type PublishOptions } from '../rooms/publications.js'
import { AllConnections } from './all-connections.js'
import type { ListAnswer, OwnConnections } from './own-connections.js'
import type { Requests } from './requests.js'
import { nameOf } from '../rooms/room-name.js'
import { AT_ONCE, endOfToken, JOINED_AT_ONCE, peersOf, subjectOf, type Meant } from './targets.js'
import type { ToldRevocations } from './told-revocations.js'

export interface AppRoomsOptions {
  readonly node: string
  readonly hub: Hub
  readonly connections: Peers
  readonly dispatch: Dispatch
  readonly revocations: Revocations
  readonly acks: BroadcastAcks
  readonly slots: Slots
  /** What the hooks `onOnline` and `onOffline` go by; absent where the app has neither. */
  readonly online: Census | undefined
  readonly denials: Denials
  readonly told: ToldRevocations
  readonly drain: Drain
  readonly elsewhere: Elsewhere
  readonly adapter: Adapter
  readonly own: OwnConnections
  readonly lists: Gathering<ListAnswer>
  readonly requests: Requests
  readonly readiness: Readiness
  readonly stats: () => Promise<Record<string, unknown>>
}

/** What is said of a call whose outcome is not known: to repeat it is the way out, and harms nothing. */
const TOLD_HERE =
  'done on this node; whether the other nodes hear of it is not known: the broker did not answer; call it again'
const DENIED = 'whether the revocation is in force is not known: the broker did not answer; revoke again'

type Named = string | AnyAddress
type Broadcast = Promise<BroadcastResult>

/** `app.rooms`, for REST handlers, timers and tests. */
export class AppRooms implements Rooms {
  readonly #options: AppRoomsOptions
  readonly #all: AllConnections

  constructor (options: AppRoomsOptions) {
    this.#options = options
    const { node, own, lists: gathering, adapter: { control }, hub } = options
    this.#all = new AllConnections({ node, own, gathering, control, hub })
  }

  #check (): void {
    if (!this.#options.readiness.isServing) {
      throw new REALTIME_ERR_NOT_READY(
        'app.rooms works from onReady until close; call it in a handler, in an onReady hook, or after await app.ready()'
      )
    }
  }

  broadcast (room: Named, event: string, data: unknown, options?: BroadcastOptions): Broadcast {
    let given: PublishOptions
    try {
      given = publishOptions(options)
    } catch (error) {
      return this.#failed(error, room, event)
    }
    return this.publish(room, event, data, given)
  }

  publish (room: Named, event: string, data: unknown, options: PublishOptions): Broadcast {
    const published = this.#published(room, event, data, options)
    if (!(published instanceof Promise)) return Promise.resolve(shape(published))
    return this.#told(published.then(shape), 'a broadcast failed', room, event)
  }

  #told<T> (work: Promise<T>, what: string, room?: unknown, event?: unknown): Promise<T> {
    return this.#options.hub.told(work, what, {
      ...(room === undefined ? {} : { room: printable(room) }),
      ...(event === undefined ? {} : { event: printable(event) })
    })
  }

  #failed (error: unknown, room: unknown, event: unknown): Broadcast {
    return this.#told(Promise.reject(error), 'a broadcast failed', room, event)
  }

  #published (room: Named, event: string, data: unknown, options: PublishOptions): Awaitable<Published> {
    try {
      this.#check()
      return this.#options.hub.publish(nameOf(room), event, data, options)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  remove (room: Named, event: string, key: string | number): Promise<{ recipients: number }> {
    return this.#told(this.#remove(room, event, key), 'app.rooms.remove failed', room, event)
  }

  async #remove (room: Named, event: string, key: string | number): Promise<{ recipients: number }> {
    this.#check()
    return shape(await this.#options.hub.remove(nameOf(room), event, key))
  }

  clear (room: Named): Promise<void> {
    return this.#told(this.#clear(room), 'app.rooms.clear failed', room)
  }

  async #clear (room: Named): Promise<void> {
    this.#check()
    await this.#options.hub.clear(nameOf(room))
  }

  async state (room: Named): Promise<never> {
    this.#check()
    // The types of the events are those of the address: nothing of them exists at run time.
    return await this.#options.hub.state(nameOf(room)) as never
  }

  broadcastAll (event: string, data: unknown): Broadcast { return this.broadcast(ALL, event, data) }

  sendToUser (userId: string, event: string, data: unknown): Broadcast {
    let room: string
    try {
      room = roomOfUser(userId)
    } catch (error) {
      return this.#failed(error, userId, event)
    }
    return this.broadcast(room, event, data)
  }

  stream (room: Named, event: string, head: object, options?: StreamOptions): OpeningWriter {
    return new OpeningWriter(async (onMade) => {
      this.#check()
      return await this.#options.hub.texts.open(nameOf(room), event, head, signalOption(options), onMade)
    })
  }

  cancel (room: Named, event: string, key: string | number): Promise<void> {
    return this.#told(this.#cancel(room, event, key), 'app.rooms.cancel failed', room, event)
  }

  async #cancel (room: Named, event: string, key: string | number): Promise<void> {
    this.#check()
    await this.#options.hub.texts.cancel(nameOf(room), event, key)
  }

  async read (room: Named, event: string, key: string | number): Promise<StreamText<never> | undefined> {
    this.#check()
    // The data is of the type that the contract says, which `Rooms` knows.
    return await this.#options.hub.texts.read(nameOf(room), event, key) as StreamText<never> | undefined
  }

  broadcastWithAck (
    room: Named,
    event: string,
    data: unknown,
    options?: BroadcastOptions & { timeout?: number }
  ): Promise<AckResult> {
    return this.#told(this.#withAck(room, event, data, options), 'app.rooms.broadcastWithAck failed', room, event)
  }

  async #withAck (
    room: Named,
    event: string,
    data: unknown,
    options?: BroadcastOptions & { timeout?: number }
  ): Promise<AckResult> {
    this.#check()
    const { hub, acks, adapter } = this.#options
    const name = nameOf(room)
    const { except, once } = publishOptions(options, ['timeout'])
    const asked = options?.timeout
    const timeout = asked === undefined ? DEFAULTS.ackTimeout : checkTime(asked, 'timeout of broadcastWithAck')
    if (once !== undefined) {
      throw new REALTIME_ERR_OPTIONS('broadcastWithAck takes no idempotencyKey: each call asks the members anew')
    }
    const ack = acks.newId(timeout)
    const waiting = acks.wait(ack, timeout)
    try {
      const { nodes } = await hub.publish(name, event, data, { except, ack })
      // Other nodes report their members; where nothing comes from other nodes, this node's members are all.
      acks.seal(ack, adapter.control === undefined ? 0 : nodes)
    } catch (error) {
      acks.cancel(ack)
      await waiting
      throw error
    }
    return await waiting
  }

  request (target: Target, event: string, data: unknown, options?: { timeout?: number }): Promise<never> {
    return this.#told(this.#request(target, event, data, options), 'app.rooms.request failed', undefined, event)
  }

  async #request (target: Target, event: string, data: unknown, options?: { timeout?: number }): Promise<never> {
    this.#check()
    // The type of the answer is that of the address: nothing of it exists at run time.
    return await this.#options.requests.ask(target, event, data, options) as never
  }

  join (given: GroupTarget, room: Named): Promise<number> {
    return this.#told(this.#join(given, room), 'app.rooms.join failed', room)
  }

  async #join (given: GroupTarget, room: Named): Promise<number> {
    this.#check()
    const target = this.#located(checkGroup(given, 'join'))
    const name = this.#enterable(room)
    this.#options.hub.locate(name)
    const since = this.#options.revocations.moment
    let joined = 0
    await inBatches(peersOf(this.#options, target), JOINED_AT_ONCE, async (peer) => {
      if (await this.#options.dispatch.joins.joinByServer(peer, name, since)) joined++
    })
    await this.#tell({ type: 'join', ...target, room: name })
    return joined
  }

  leave (given: GroupTarget, room: Named): Promise<number> {
    return this.#told(this.#leave(given, room), 'app.rooms.leave failed', room)
  }

  async #leave (given: GroupTarget, room: Named): Promise<number> {
    this.#check()
    const target = this.#located(checkGroup(given, 'leave'))
    const name = this.#enterable(room)
    const peers = peersOf(this.#options, target)
    this.#options.revocations.add({ ...target, room: name })
    let touched = 0
    await inTurns(peers, AT_ONCE, (peer) => { if (this.#options.dispatch.joins.leaveByServer(peer, name)) touched++ })
    await this.#tell({ type: 'leave', ...target, room: name })
    return touched
  }

  /** @throws REALTIME_ERR_ROOM_UNKNOWN for a target of members of a room that is not declared */
  #located<T extends Meant> (target: T): T {
    if (target.of !== undefined) this.#options.hub.locate(target.of)
    return target
  }

  close (given: GroupTarget | Named, options?: { code?: Code, message?: string }): Promise<number> {
    return this.#told(this.#close(given, options), 'app.rooms.close failed')
  }

  async #close (given: GroupTarget | Named, options?: { code?: Code, message?: string }): Promise<number> {
    this.#check()
    const target = this.#located(checkClosed(given))
    const asked = callOptions(options, 'close', ['code', 'message'])
    const code = returning(asked.code)
    const message = stringOption(asked.message, 'message of close')
    let closed = 0
    await inTurns(peersOf(this.#options, target), AT_ONCE, (peer) => {
      peer.closeForApp(code, message)
      closed++
    })
    await this.#tell({ type: 'close', ...target, code, ...(message === undefined ? {} : { message }) })
    return closed
  }

  #enterable (room: Named): string {
    const name = nameOf(room)
    if (name.startsWith('@')) {
      throw new REALTIME_ERR_ROOM(
        `nobody is put into or out of "${name}": every connection is in its built-in rooms for as long as it lives`
      )
    }
    return name
  }

  async ping (target: Target, options?: { timeout?: number }): Promise<{ alive: boolean, latency?: number }> {
    this.#check()
    const { timeout: given = DEFAULTS.pingTimeout } = callOptions(options, 'ping', ['timeout'])
    const timeout = checkTime(given, 'timeout of ping')
    const answers = [...peersOf(this.#options, checkTarget(target, 'ping'))].map(async (peer) => {
      const latency = await this.#options.elsewhere.ping(peer, timeout)
      if (latency === undefined || Number.isNaN(latency)) throw new Refusal('timeout')
      return latency
    })
    try {
      return { alive: true, latency: await Promise.any(answers) }
    } catch {
      return { alive: false }
    }
  }

  revoke (given: RevokeTarget, options?: { message?: string, until?: number }): Promise<number> {
    return this.#told(this.#revoke(given, options), 'app.rooms.revoke failed')
  }

  async #revoke (given: RevokeTarget, options?: { message?: string, until?: number }): Promise<number> {
    this.#check()
    const target = this.#located(checkRevoked(given))
    const asked = callOptions(options, 'revoke', ['message', 'until'])
    const until = asked.until === undefined ? undefined : checkMoment(asked.until, 'until of revoke')
    const message = stringOption(asked.message, 'message of revoke')
    if (target.room !== undefined) return await this.#expel(target, message, until ?? Date.now() + DEFAULTS.denial)
    const { denials, revocations } = this.#options
    const end = until ?? endOfToken(this.#options, target) ?? Date.now() + DEFAULTS.denial
    const subject = subjectOf(target)
    if (subject !== undefined) await this.#keptOut(denials.deny(subject, end))
    revocations.add({ ...target, message })
    let closed = 0
    await inTurns(peersOf(this.#options, target), AT_ONCE, (peer) => {
      peer.close('revoked', message)
      closed++
    })
    await this.#done(this.#options.told.tell({
      type: 'revoke',
      ...target,
      ...(message === undefined ? {} : { message }),
      ...(subject === undefined ? {} : { until: end }),
      ...(target.tokenId !== undefined && until === undefined ? { isUntilEnd: true } : {})
    }))
    return closed
  }

  /** Takes a room from a user on all nodes. @returns connections on this node that were in it */
  async #expel ({ user = '', room = '' }: Revoked, message: string | undefined, until: number): Promise<number> {
    this.#enterable(room)
    const { denials, revocations, connections, dispatch, hub } = this.#options
    hub.locate(room)
    const version = await this.#keptOut(denials.take(user, room, until))
    revocations.add({ user, room, message, isTaken: true })
    let left = 0
    await inTurns(connections.ofUser(user), AT_ONCE, (peer) => {
      if (dispatch.joins.leaveByServer(peer, room, 'revoked', message)) left++
    })
    await this.#done(this.#options.told.tell({
      type: 'expel',
      user,
      room,
      ...(message === undefined ? {} : { message }),
      until,
      ...(version === undefined ? {} : { version })
    }))
    return left
  }

  async connections (query?: ConnectionQuery): Promise<ConnectionPage> {
    this.#check()
    return await this.#all.page(query)
  }

  async members (room: Named): Promise<Array<MemberEntry<never>>> {
    this.#check()
    const { list = [] } = await this.#options.hub.members(nameOf(room), Number.POSITIVE_INFINITY)
    // An adapter may give what it keeps itself. As the events of `state`: the types are those of the address.
    return list.map(({ userId, data }) => ({ userId, data: structuredClone(data) as never }))
  }

  async count (room: Named): Promise<number> {
    this.#check()
    return (await this.#options.hub.members(nameOf(room), 0)).total
  }

  async isOnline (userId: string, options?: { grace?: boolean }): Promise<boolean> {
    this.#check()
    roomOfUser(userId)
    if (graceOption(options)) {
      const { online } = this.#options
      if (online !== undefined) return await online.isThere(userId)
      throw new REALTIME_ERR_OPTIONS(
        'isOnline with { grace: true } says what onOnline and onOffline tell: give the plugin one of them, on all nodes'
      )
    }
    return await this.#options.slots.countUser(userId) > 0
  }

  async history (
    room: Named,
    options?: { since?: Position, limit?: number }
  ): Promise<History<never>> {
    this.#check()
    const { since, limit } = callOptions(options, 'history', ['since', 'limit'])
    if (since !== undefined && !isPosition(since)) {
      throw new REALTIME_ERR_OPTIONS(
        'since of history is a position { epoch, offset }, as history, broadcast and a join give it'
      )
    }
    const most = limit === undefined
      ? undefined
      : Math.min(checkCount(limit, 'limit of history'), Number.MAX_SAFE_INTEGER)
    const { top, resumed, events, isPart } = await this.#options.hub.history(nameOf(room), since, most)
    return {
      position: isPart === true ? events.at(-1)!.position! : top,
      resumed,
      events: events.map((packet) => {
        const { type, data, timestamp } = JSON.parse(packet.payload.toString()) as {
          type: string
          data: unknown
          timestamp: number
        }
        // As of `state`: the types are those of the address.
        return { type, data, offset: packet.position!.offset, timestamp } as never
      })
    }
  }

  isAccepting (): boolean { return this.#options.readiness.isAccepting }

  async drain (options?: { timeout?: number }): Promise<void> {
    // Before the start there is nobody to drain, and a node that begins so would refuse everybody for good.
    if (!this.#options.drain.isDraining) this.#check()
    const { timeout } = callOptions(options, 'drain', ['timeout'])
    await this.#options.drain.run(timeout === undefined ? undefined : checkTime(timeout, 'timeout of drain'))
  }

  async stats (): Promise<Record<string, unknown>> { return await this.#options.stats() }

  /** Tells the other nodes what has been done on this one. */
  async #tell (message: ControlMessage): Promise<void> {
    const { control } = this.#options.adapter
    if (control !== undefined) await this.#done(control.send(message))
  }

  /** @throws Refusal `unavailable` with the outcome `unknown`: on this node it has been done */
  async #done (telling: Promise<void>): Promise<void> {
    await telling.catch((error: unknown) => { throw inPart(error, TOLD_HERE) })
  }

  /** @throws Refusal `unavailable`, which says where the denial may be in force all the same */
  async #keptOut<T> (denying: Promise<T>): Promise<T> {
    return await denying.catch((error: unknown) => {
      throw isUncertain(error) ? inPart(error, DENIED) : error
    })
  }
}

/** @throws REALTIME_ERR_OPTIONS for a code by which no client comes back */
function returning (code: unknown): Code {
  if (code === undefined) return 'unavailable'
  if (isCode(code) && codes[code].close !== undefined && codes[code].retry !== 'never') return code
  const known = Object.entries(codes).filter(([, { close, retry }]) => close !== undefined && retry !== 'never')
  throw new REALTIME_ERR_OPTIONS(
    `code of close is one after which a client comes back: ${known.map(([word]) => word).join(', ')}; revoke closes for good`
  )
}

/** Shortens any value for a log line. */
function printable (value: unknown): string {
  try {
    return String((value as { name?: unknown } | null | undefined)?.name ?? value).slice(0, 255)
  } catch {
    return typeof value
  }
}
