import { REALTIME_ERR_ADAPTER } from '../../errors/misuse.js'
import { isUncertain, Refusal } from '../../errors/refusal.js'
import type { Packet } from '../../protocol/packet.js'
import { encodeKept } from '../../protocol/part-frames.js'
import type { Position } from '../../protocol/position.js'
import { HISTORY_BYTES, IDEMPOTENCY } from '../../retention/bounds.js'
import type { Awaitable } from '../../structures/awaitable.js'
import { gather, settleInBatches, throwFirst } from '../../structures/slices.js'
import { after, every } from '../../structures/timers.js'
import type {
  Adapter, AdapterHost, ClaimStore, Control, DenialStore, HistoryPage, HistoryQuery, LeaseStore, PresenceStore,
  Publication, Published, RoomSettings, TextStore
} from '../adapter.js'
import { checkControl, checkPresenceChange, Undecodable } from '../broker/decode.js'
import { isFields } from '../broker/stored.js'
import { FollowedRooms, type Hole } from '../broker/followed-rooms.js'
import { Repeats } from '../broker/repeats.js'
import { isAway } from '../broker/standing.js'
import { clearOf, type Arrival, type Range } from '../broker/tail.js'
import { Unread } from '../broker/unread.js'
import { checkCluster } from '../options.js'
import { PendingCalls } from './pending-calls.js'
import { channelToPrimary, type Channel } from './channels.js'
import { FORGOTTEN, keyOfCall } from './call-key.js'
import { fieldsOf, listOf, maybe, numberOf, textOf } from './checks.js'
import { newTag, ownChannel } from './host.js'
import { batchOf, Line, VERSION, type Batch } from './line.js'
import {
  clusterClaims, clusterControl, clusterDenials, clusterLeases, clusterPresence, clusterTexts, type Ask, type Insist
} from './stores.js'
import { readPacket, readPage, readPosition, writePublication } from './wire.js'

/** Options of `cluster()`. What is unknown or wrong is refused with `REALTIME_ERR_OPTIONS`. */
export interface ClusterOptions {
  /** Names the application, where several share the workers of one primary; default `realtime`, 64 characters. */
  readonly name?: string
  /**
   * Milliseconds that the primary may take for one call, default 2 000; after that it is refused with `unavailable` and
   * will not run later.
   */
  readonly timeout?: number
  /**
   * Calls that may wait for the primary, default 20 000; above that, and above 32 Mi characters that are not sent yet,
   * they are refused with `unavailable`.
   */
  readonly calls?: number
  /** Bytes of retained events that are kept in this worker for resumes, default 64 MiB. */
  readonly historyBytes?: number
}

const DEFAULTS = { name: 'realtime', timeout: 2_000, calls: 20_000, historyBytes: HISTORY_BYTES }
/** Milliseconds after which a primary that has not answered serves no workers, and between two questions. */
const GREETING = 5_000
const AGAIN = 500
/** Milliseconds between two position checks of a quiet room: the channel loses nothing without saying so. */
const CHECK = 86_400_000
/** Milliseconds until what could not be read again is tried once more. */
const CHECKER = 2_000
/** Rooms that are read again at a time. */
const BATCH = 100

/** What helps where another host, or none, serves by now. */
const GONE = 'hostCluster() was closed in the primary of this worker, and all that the workers shared is lost: start ' +
  'the workers again after a new hostCluster(), and keep it open for as long as they live'

/** What is known of a room besides its stream. */
interface Known {
  /** Of the newest change of its presence that has come. */
  sequence: number
  /** Number of the last time that this worker did not keep up since which it was read. */
  read: number
}

class ClusterAdapter implements Adapter {
  readonly name = 'cluster'
  readonly removal = true
  readonly presence: PresenceStore
  readonly leases: LeaseStore
  readonly claims: ClaimStore
  readonly denials: DenialStore
  readonly texts: TextStore
  readonly control: Control
  readonly #options: typeof DEFAULTS
  readonly #channel: Channel
  readonly #line: Line
  readonly #calls: PendingCalls
  readonly #rooms: FollowedRooms<Known>
  readonly #unread = new Unread({ warn: (object, message) => { this.#host?.log.warn(object, message) } })
  readonly #tag = newTag()
  /** What members were offered the event of a call that waits for its answer. */
  readonly #offered = new Map<number, Awaitable<number>>()
  #host: AdapterHost | undefined
  #checker: NodeJS.Timeout | undefined
  /** Whether what has no position still has to be read again. */
  #isStale = false
  #greeted: ((fault?: string) => void) | undefined
  /** Whether a primary has taken this adapter in. */
  #isServed = false
  #isClosed = false
  /** How many entries the primary has forgotten before their time. */
  #forgotten = 0
  /** How often events were lost on their way, because this worker did not keep up. */
  #behind = 0

  constructor (options: ClusterOptions, channel?: Channel) {
    checkCluster(options)
    this.#options = { ...DEFAULTS, ...options }
    const { name, timeout, calls, historyBytes } = this.#options
    this.#channel = channel ?? channelToPrimary() ?? ownChannel()
    this.#line = new Line({ name, tag: this.#tag, post: (batch) => { this.#channel.post(batch) } })
    this.#calls = new PendingCalls({
      line: this.#line,
      timeout,
      most: calls,
      onState: (isUp) => { void this.#host?.state(isUp) }
    })
    this.#rooms = new FollowedRooms<Known>({
      check: CHECK,
      historyBytes,
      repeats: new Repeats(IDEMPOTENCY),
      unread: this.#unread,
      isUp: () => this.#calls.isUp,
      deliver: (room, _settings, packet, origin) => { this.#deliver(room, packet, origin) },
      read: (room, settings, hole) => this.#readHole(room, settings, hole),
      compare: async (due, done) => {
        throwFirst(await settleInBatches(due, BATCH, async (followed) => {
          const { room, settings, tail } = followed
          if (tail !== undefined) tail.check((await this.#page(room, { last: 1, limit: 1 }, settings)).top)
          done(followed)
        }, isAway))
      }
    })
    const ask: Ask = (method, args, read) => this.#ask(method, args, read)
    const insist: Insist = (method, args) => this.#calls.insist(method, args)
    this.presence = clusterPresence(ask, insist)
    this.leases = clusterLeases(ask, insist)
    this.claims = clusterClaims(ask)
    this.denials = clusterDenials(ask)
    this.texts = clusterTexts(ask)
    this.control = clusterControl(ask)
  }

  async start (host: AdapterHost): Promise<void> {
    if (this.#host !== undefined) {
      throw new REALTIME_ERR_ADAPTER('this cluster adapter is already in use; make one for each server')
    }
    this.#host = host
    this.#channel.listen((message) => { this.#heard(message) }, () => {
      this.#ended('the primary of this worker is gone, and with it all that the workers shared')
    })
    const fault = await this.#greet()
    if (fault !== undefined) {
      await this.#goodbye()
      this.#channel.close()
      throw new REALTIME_ERR_ADAPTER(fault)
    }
    this.#isServed = true
    this.#calls.start()
    this.#rooms.start(host)
    this.#checker = every(() => {
      this.#rooms.check()
      if (this.#isStale) this.#refresh()
    }, CHECKER).unref()
  }

  /** Resolves when the primary serves this adapter, or with what is wrong. */
  async #greet (): Promise<string | undefined> {
    const { nodeId, remembered } = this.#host!
    const { name, timeout } = this.#options
    // Its other parts are functions, which no channel carries.
    const bounds = remembered === undefined ? undefined : { bytes: remembered.bytes, perUser: remembered.perUser }
    const hello = (): void => {
      const item = ['hello', { id: nodeId, timeout, remembered: bounds }]
      this.#channel.post({ realtime: VERSION, name, tag: this.#tag, number: 0, at: 0, items: [item] })
    }
    return await new Promise((resolve) => {
      let left = GREETING / AGAIN
      const again = (): void => {
        if (left-- === 0) {
          this.#greeted!('the primary of this worker does not answer: call hostCluster() of fastify-realtime/cluster there, before the first worker is started')
          return
        }
        hello()
        timer = after(again, AGAIN)
      }
      let timer: NodeJS.Timeout | undefined
      this.#greeted = (fault) => {
        clearTimeout(timer)
        resolve(fault)
      }
      again()
    })
  }

  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#line.flush()
    const stopped = this.#goodbye()
    this.#channel.close()
    await stopped
  }

  async #goodbye (): Promise<void> {
    const { name } = this.#options
    this.#channel.post({ realtime: VERSION, name, tag: this.#tag, number: 0, at: 0, items: [['bye']] })
    await this.#stop()
  }

  async #stop (): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#checker)
    this.#calls.close()
    this.#line.close()
    this.#offered.clear()
    await this.#rooms.close()
  }

  /** Nobody serves this worker any more: what was kept for it is lost, and it ends with that. */
  #ended (why: string): void {
    if (this.#isClosed) return
    this.#host?.log.warn({}, why)
    void this.#stop()
    this.#channel.close()
    void this.#host?.state(false)
  }

  async subscribe (room: string, settings: RoomSettings): Promise<Position | undefined> {
    const followed = this.#rooms.add(room, settings, { sequence: 0, read: this.#behind })
    try {
      const position = await this.#ask('subscribe', [room, settings], (answer) => maybe(answer, readPosition))
      if (followed.tail === undefined || position === undefined) return undefined
      followed.tail.open(position)
      return followed.tail.position
    } catch (error) {
      if (this.#rooms.remove(followed)) this.unsubscribe(room)
      throw error
    }
  }

  unsubscribe (room: string): void {
    const followed = this.#rooms.get(room)
    if (followed !== undefined) this.#rooms.remove(followed)
    this.#calls.tell('unsubscribe', [room])
  }

  async publish (room: string, publication: Publication, settings: RoomSettings): Promise<Published> {
    const before = this.#calls.last
    const asking = this.#ask('publish', [room, writePublication(publication), settings], (answer) => {
      const { position, nodes } = fieldsOf(answer)
      return { position: maybe(position, readPosition), nodes: maybe(nodes, numberOf) }
    })
    const id = this.#calls.last
    if (id !== before) this.#offered.set(id, 0)
    try {
      const { position, nodes } = await asking
      const tail = this.#rooms.get(room)?.tail
      // It is held back where events before it are being read.
      if (position !== undefined && tail !== undefined) await tail.reached(position.offset, this.#options.timeout)
      const recipients = await this.#offered.get(id) ?? 0
      return { position, recipients, ...(nodes === undefined ? {} : { nodes }) }
    } catch (error) {
      // What is forgotten cannot be asked for again.
      if (!isUncertain(error) || error.why?.primary === FORGOTTEN) throw error
      throw new Refusal('unavailable', {
        retryAfter: 1_000,
        message:
          'whether the event was published is not known: the primary did not answer; publish it again with the same idempotencyKey',
        outcome: 'unknown',
        idempotencyKey: publication.idempotencyKey ?? keyOfCall(this.#tag, id),
        cause: error.cause
      })
    } finally {
      // A call that was not made has no number of its own.
      if (id !== before) this.#offered.delete(id)
    }
  }

  async history (room: string, query: HistoryQuery, settings: RoomSettings): Promise<HistoryPage> {
    const tail = this.#rooms.get(room)?.tail
    const known = tail?.read(query)
    if (known !== undefined) return known
    const page = await this.#page(room, query, settings)
    if (settings.latest && page.resumed && tail?.isBehind(query.since) === true) await tail.meet(query.since, page.top)
    return page
  }

  async #page (room: string, query: HistoryQuery, settings: RoomSettings): Promise<HistoryPage> {
    return await this.#ask('history', [room, query, settings], (answer) => readPage(room, answer))
  }

  async #readHole (room: string, settings: RoomSettings, { since, limit, bytes }: Hole): Promise<Range> {
    let page = await this.#page(room, { since, limit, bytes }, settings)
    const { floor } = page
    if (!page.resumed) page = await this.#page(room, { since: floor, limit, bytes }, settings)
    const { epoch, offset } = page.top
    return {
      epoch,
      top: offset,
      floor: page.resumed ? Math.min(floor.offset, offset) : offset,
      before: [],
      events: page.events.map((packet) => arrivalOf(packet, '')),
      ...(page.isPart === true ? { isPart: true } : {})
    }
  }

  async clear (room: string, settings: RoomSettings): Promise<void> {
    const top = await this.#ask('clear', [room, settings], (answer) => maybe(answer, numberOf))
    if (top !== undefined) await this.#rooms.get(room)?.tail?.reached(top, this.#options.timeout)
  }

  async latest (room: string, settings: RoomSettings): Promise<readonly Packet[]> {
    return await this.#ask('latest', [room, settings], (answer) => listOf(answer).map((each) => readPacket(room, each)))
  }

  async secret (proposed: string): Promise<string> { return await this.#ask('secret', [proposed], textOf) }

  stats (): Record<string, number | boolean | string> {
    return {
      isUp: this.#calls.isUp,
      ...this.#rooms.stats(),
      waiting: this.#calls.size,
      refused: this.#calls.refused,
      behind: this.#behind,
      forgotten: this.#forgotten,
      undecodable: this.#unread.count
    }
  }

  /** @throws Refusal `unavailable` also where the answer cannot be read */
  async #ask<T> (method: string, args: readonly unknown[], read: (answer: unknown) => T): Promise<T> {
    const answer = await this.#calls.call(method, args)
    try {
      return read(answer)
    } catch (error) {
      this.#unread.failed(error, method, 0)
      throw new Refusal('unavailable', { outcome: 'unknown', cause: error })
    }
  }

  #heard (message: unknown): void {
    const batch = batchOf(message)
    if (batch === undefined || batch.tag !== this.#tag) return
    if (batch.realtime !== VERSION) {
      this.#greeted?.('the primary of this worker runs another version of fastify-realtime: restart it as well')
      return
    }
    if (batch.number > 0) this.#line.received(batch)
    this.#take(batch)
  }

  #take ({ items }: Batch): void {
    for (const item of items) {
      if (this.#isClosed) return
      try {
        this.#item(listOf(item))
      } catch (error) {
        this.#unread.failed(error, 'events', 0)
      }
    }
  }

  /** @throws Undecodable */
  #item ([kind, first, second, third]: readonly unknown[]): void {
    if (kind === 'r') this.#calls.answered(first, second)
    else if (kind === 'x') {
      if (second === 'unreadable') this.#unread.note('calls', 0)
      else if (second === 'failed') this.#unread.failed(new Error(textOf(third)), 'calls', 0)
      this.#calls.refusedBy(first, textOf(second))
    } else if (kind === 'e') this.#event(textOf(first), second, third)
    else if (kind === 'g') this.#rooms.get(textOf(first))?.tail?.accept(clearOf(readPosition(second)), true)
    else if (kind === 'p') this.#changed(textOf(first), second)
    else if (kind === 'c') this.#told(textOf(first), second)
    else if (kind === 'f') this.#forgotten = numberOf(first)
    else if (kind === 'w') this.#host!.log.warn(fieldsOf(first), textOf(second))
    else if (kind === 'b') this.#catchUp()
    else if (kind === 'ready') this.#greeted?.()
    else if (kind === 'gone') {
      if (this.#isServed) this.#ended(GONE)
    } else if (kind === 'full') this.#greeted?.(fullOf(numberOf(first), numberOf(second)))
    else throw new Undecodable('an item of an unknown kind')
  }

  #event (room: string, value: unknown, call: unknown): void {
    const followed = this.#rooms.get(room)
    const packet = readPacket(room, value)
    // Its publisher counts on the report of an acknowledged broadcast.
    if (followed === undefined && packet.event!.ack === undefined) return
    const origin = typeof call === 'number' ? String(call) : ''
    if (packet.position === undefined || followed?.tail === undefined) this.#deliver(room, packet, origin)
    else followed.tail.accept(arrivalOf(packet, origin), true)
  }

  #deliver (room: string, packet: Packet, origin: string): void {
    const offered = this.#host!.event(room, packet)
    if (origin !== '' && this.#offered.has(Number(origin))) this.#offered.set(Number(origin), offered)
  }

  #changed (room: string, value: unknown): void {
    const followed = this.#rooms.get(room)
    if (followed === undefined) return
    const change = checkPresenceChange(value)
    followed.sequence = Math.max(followed.sequence, change.sequence)
    this.#host!.presence(room, change)
  }

  #told (from: string, value: unknown): void {
    const message = checkControl(value)
    if (message !== undefined) this.#host!.control(message, from)
    // One of a newer version is left alone.
    else if (!isFields(value) || typeof value.type !== 'string') throw new Undecodable('a control message')
  }

  /** Reads again what was given up while this worker did not keep up. */
  #catchUp (): void {
    this.#behind++
    this.#host!.log.warn(
      { behind: this.#behind },
      'this worker did not keep up with its primary: what it missed is read again; is its event loop blocked?'
    )
    this.#rooms.checkAll()
    this.#refresh()
  }

  #refresh (): void {
    this.#isStale = false
    this.#readAgain().catch(() => { this.#isStale = !this.#isClosed })
  }

  async #readAgain (): Promise<void> {
    const host = this.#host!
    const behind = this.#behind
    const unread = await gather(this.#rooms.values(), ({ read }) => read < behind)
    throwFirst(await settleInBatches(unread, BATCH, async (followed) => {
      const { room, settings } = followed
      if (settings.latest) for (const packet of await this.latest(room, settings)) void host.event(room, packet)
      if (settings.append !== undefined) {
        for (const text of await this.texts.read(room, settings)) void host.event(room, encodeKept(room, text))
      }
      const { sequence } = await this.presence.snapshot(room, 0)
      followed.read = Math.max(followed.read, behind)
      if (sequence <= followed.sequence) return
      // A change behind a hole makes its reader ask. Where one alone was missed there is none yet.
      if (sequence === followed.sequence + 1) return await this.#ask('pass', [room], () => {})
      followed.sequence = sequence
      host.presence(room, { sequence, joined: [], left: [] })
    }, isAway))
  }
}

function fullOf (names: number, adapters: number): string {
  return `the primary of this worker takes no more: it serves ${names} names of applications, and ${adapters} adapters of one worker. ` +
    'Give all workers of an application the same name, and close adapters that are not used any more'
}

function arrivalOf (packet: Packet, origin: string): Arrival {
  const { epoch, offset } = packet.position!
  // The stream of a primary has no holes.
  return { epoch, offset, previous: offset - 1, origin, size: packet.bytes.length, packet: () => packet }
}

/**
 * An adapter that makes the workers of one machine act as one, without a broker: their primary keeps what they share,
 * and calls `hostCluster()` for that. It is for workers of `node:cluster` and threads of `node:worker_threads`. In a
 * process that is no worker it keeps everything itself, as `memory()` does.
 *
 * @throws REALTIME_ERR_OPTIONS for a wrong option; `start` throws REALTIME_ERR_ADAPTER when the primary does not
 *   answer, or runs another version
 */
export function cluster (options: ClusterOptions = {}): Adapter {
  return new ClusterAdapter(options)
}

/** @returns an adapter that speaks by this channel */
export function clusterBy (channel: Channel, options: ClusterOptions = {}): Adapter {
  return new ClusterAdapter(options, channel)
}
