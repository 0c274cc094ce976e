import type { Packet } from '../../protocol/packet.js'
import { keyOf } from '../../protocol/key.js'
import type { Position } from '../../protocol/position.js'
import { Slices } from '../../structures/slices.js'
import { ExpiringMap } from '../../structures/expiring-map.js'
import { ShardedMap } from '../../structures/sharded-map.js'
import { every } from '../../structures/timers.js'
import type { AdapterHost, ControlMessage, PresenceChange, Publication, Published, RoomSettings } from '../adapter.js'
import { leastKept } from '../broker/asked-again.js'
import { Undecodable } from '../broker/decode.js'
import { MemoryAdapter, type MemoryOptions } from '../memory/adapter.js'
import type { End } from '../memory/presence.js'
import { callOfKey, FORGOTTEN, keyOfCall } from './call-key.js'
import type { WorkerChannel } from './channels.js'
import { charactersOf } from './characters.js'
import { Line, machineTime, type Batch } from './line.js'
import { serve, type Served } from './served.js'
import { SharedSlots } from './shared-slots.js'
import { sizeOf, writePacket } from './wire.js'

export interface SpaceOptions extends Omit<MemoryOptions, 'now'> {
  /** Characters that may wait for one worker. */
  readonly waiting: number
  /** Publications without a key that are known again. Default 100 000. */
  readonly unkeyed?: number | undefined
}

/** Milliseconds of the shortest lease that lasts as long as its worker; a shorter one is renewed. */
export const SHORTEST = 30_000
/** Different leases of one worker. */
const MAX_LEASES = 64
/** Milliseconds between two sweeps. */
const SWEEP = 1_000
/** Sweeps between two looks through all slots. */
const SELDOM = 60
/** Rooms of a worker that has gone which one turn of the event loop leaves. */
const LEFT = 500
/** Publications without a key that are known again. */
const MAX_UNKEYED = 100_000
/** What is told of a worker that has gone. */
const LEAVING: ControlMessage = { type: 'node', state: 'leaving' }
/** What ends something that a worker holds: it has to happen whenever it comes, since nothing else ends that. */
const TOLD = new Set<unknown>(['unsubscribe', 'leave', 'release'])

/** What an adapter says of itself when it comes. */
export interface Joining {
  /** The id of its node. */
  readonly id: string
  /** Milliseconds after which what it asked for is not done any more. */
  readonly timeout: number
  /** The bounds of its node. */
  readonly remembered?: AdapterHost['remembered']
}

/** An adapter in a worker, as the primary knows it. */
class Node {
  readonly id: string
  readonly tag: string
  readonly line: Line
  readonly channel: WorkerChannel
  readonly rooms = new Set<string>()
  readonly timeout: number
  readonly ends = new Map<number, End>()
  readonly served: Served
  /** The newest of its publications without a key that is no longer known, because there were too many. */
  evicted = 0
  /** Whether events were dropped, of which it has to be told when it has caught up. */
  isBehind = false
  forgotten = 0

  constructor (
    tag: string, { id, timeout }: Joining, line: Line, channel: WorkerChannel, serving: (node: Node) => Served
  ) {
    this.id = id
    this.tag = tag
    this.line = line
    this.channel = channel
    this.timeout = timeout
    this.served = serving(this)
  }
}

/** A publication without a key, and the call that made it. */
interface Unkeyed { readonly node: Node, readonly call: number, readonly answer: Omit<Published, 'recipients'> }

/** It is no longer known whether a publication was made. */
class Forgotten extends Error {}

/** Sent again when it is read again: it is given up where a worker does not keep up. */
function isLive (item: unknown): boolean {
  return Array.isArray(item) && (item[0] === 'e' || item[0] === 'p' || item[0] === 'g')
}

/**
 * All that the workers of one application share: a memory adapter whose events go to every worker that has members in
 * the room. It lives in the primary.
 */
export class Space {
  readonly #options: SpaceOptions
  readonly #core: MemoryAdapter
  readonly #slots: SharedSlots
  readonly #nodes = new Map<string, Node>()
  readonly #rooms = new ShardedMap<Set<Node>>()
  /** Rooms that workers have left behind. */
  readonly #left: Array<{ readonly node: Node, readonly rooms: Iterator<string> }> = []
  readonly #leaving = new Slices(() => this.#leaveSome())
  /** Publications without a key, by the one under which they are asked for again, and their positions. */
  readonly #unkeyed: ExpiringMap<Unkeyed>
  readonly #sweeper: NodeJS.Timeout
  #sweeps = 0
  #secret: string | undefined
  /** Number of the call that is being run, and its worker. */
  #running = 0
  #runner: Node | undefined
  /** The time of day, by which denials end. */
  readonly #unix = Date.now
  /** Events and changes that were dropped because a worker did not keep up. */
  dropped = 0

  /** @param remembered the bounds of the first worker, where the primary says nothing else */
  constructor (options: SpaceOptions, remembered: AdapterHost['remembered']) {
    const { waiting, unkeyed = MAX_UNKEYED, ...memory } = options
    this.#options = options
    this.#core = new MemoryAdapter(memory)
    this.#unkeyed = new ExpiringMap(unkeyed, undefined, ({ node, call }) => {
      node.evicted = Math.max(node.evicted, call)
    })
    this.#slots = new SharedSlots(() => performance.now())
    void this.#core.start({
      nodeId: 'primary',
      ...(remembered === undefined ? {} : { remembered }),
      log: { info: () => {}, warn: (object, message) => { this.#warn(object, message) } },
      event: (room, packet) => this.#event(room, packet),
      presence: (room, change) => { this.#presence(room, change) },
      // A memory loses nothing: its rooms are cleared.
      gap: (room, { epoch, to }) => { this.#cleared(room, { epoch, offset: to }) },
      values: () => [],
      control: () => {},
      state: () => {},
      missed: () => {}
    })
    this.#sweeper = every(() => {
      this.#core.presence.sweep()
      if (++this.#sweeps % SELDOM === 0) this.#slots.sweep()
    }, SWEEP).unref()
  }

  get nodes (): number { return this.#nodes.size }

  stats (): Record<string, number> {
    return { nodes: this.#nodes.size, rooms: this.#rooms.size, dropped: this.dropped, ...this.#core.stats() }
  }

  /** @param ended called for each adapter, which is not served any more */
  async close (ended: (tag: string, channel: WorkerChannel) => void = () => {}): Promise<void> {
    clearInterval(this.#sweeper)
    this.#leaving.stop()
    this.#slots.stop()
    for (const [tag, { line, channel }] of this.#nodes) {
      line.close()
      ended(tag, channel)
    }
    this.#nodes.clear()
    await this.#core.close()
  }

  /** Takes an adapter in. */
  join (tag: string, joining: Joining, line: Line, channel: WorkerChannel): void {
    this.#nodes.set(tag, new Node(tag, joining, line, channel, (node) => this.#served(node)))
  }

  has (tag: string): boolean { return this.#nodes.has(tag) }

  /** Runs what an adapter asks for. */
  take (tag: string, batch: Batch): void {
    const node = this.#nodes.get(tag)
    if (node === undefined) return
    node.line.received(batch)
    const isLate = machineTime() - batch.at > node.timeout
    for (const item of batch.items) if (Array.isArray(item)) this.#call(node, item as unknown[], isLate)
    const { forgotten } = this.#core.stats() as { forgotten: number }
    if (forgotten === node.forgotten) return
    node.forgotten = forgotten
    this.#send(node, ['f', forgotten])
  }

  #call (node: Node, [id, method, ...args]: unknown[], isLate: boolean): void {
    if (typeof id !== 'number') return
    if (isLate && !TOLD.has(method)) {
      this.#send(node, ['x', id, 'late'])
      return
    }
    try {
      this.#running = id
      this.#send(node, ['r', id, serve(node.served, method, args) ?? null])
    } catch (error) {
      const reason = error instanceof Undecodable ? 'unreadable' : error instanceof Forgotten ? FORGOTTEN : 'failed'
      this.#send(node, ['x', id, reason, String(error)])
    }
  }

  #served (node: Node): Served {
    return {
      core: this.#core,
      slots: this.#slots,
      by: node,
      unix: this.#unix,
      secret: (proposed) => (this.#secret ??= proposed),
      lasting: (lease) => this.#lasting(node, lease),
      endOf: (lease) => lease < SHORTEST
        ? { until: performance.now() + lease, by: node }
        : this.#lasting(node, lease),
      subscribe: (room, settings) => this.#subscribe(node, room, settings),
      unsubscribe: (room) => { this.#unsubscribe(node, room) },
      publish: (room, publication, settings) => this.#publish(node, room, publication, settings),
      tell: (message) => { this.#tell(node, message) }
    }
  }

  #lasting (node: Node, lease: number): End {
    let end = node.ends.get(lease)
    if (end === undefined) {
      // One that asks for ever other leases gets one that it has.
      if (node.ends.size >= MAX_LEASES) return node.ends.values().next().value!
      end = { until: Number.POSITIVE_INFINITY, by: node }
      node.ends.set(lease, end)
    }
    return end
  }

  #subscribe (node: Node, room: string, settings: RoomSettings): unknown {
    const others = this.#rooms.get(room)
    node.rooms.add(room)
    if (others === undefined) this.#rooms.set(room, new Set([node]))
    else others.add(node)
    // The first subscription holds the stream; every other one is told where it stands.
    return this.#core.subscribe(room, settings)
  }

  #unsubscribe (node: Node, room: string): void {
    node.rooms.delete(room)
    const nodes = this.#rooms.get(room)
    if (nodes?.delete(node) !== true || nodes.size > 0) return
    this.#rooms.delete(room)
    this.#core.unsubscribe(room)
  }

  #publish (
    node: Node, room: string, publication: Publication, settings: RoomSettings
  ): Omit<Published, 'recipients'> {
    const { idempotencyKey, ack } = publication
    const now = performance.now()
    const before = idempotencyKey === undefined ? undefined : this.#unkeyed.get(keyOf(room, idempotencyKey), now)
    if (before !== undefined) return before.answer
    if (idempotencyKey !== undefined) this.#checkKnown(idempotencyKey)
    this.#runner = node
    try {
      // Nothing that `#event` does takes time, so the answer is there at once.
      const { position } = this.#core.publish(room, publication, settings) as Published
      const nodes = this.#rooms.get(room)
      const answer = ack === undefined
        ? { position }
        : { nodes: (nodes?.size ?? 0) - (nodes?.has(node) === true ? 1 : 0) }
      if (idempotencyKey === undefined) {
        const key = keyOf(room, keyOfCall(node.tag, this.#running))
        this.#unkeyed.set(key, { node, call: this.#running, answer }, now + leastKept(node.timeout), now)
      }
      return answer
    } finally {
      this.#runner = undefined
    }
  }

  /** @throws Forgotten where nobody can know whether a publication that is asked for again was made */
  #checkKnown (idempotencyKey: string): void {
    const asked = callOfKey(idempotencyKey)
    if (asked === undefined) return
    const node = this.#nodes.get(asked.tag)
    if (node !== undefined && asked.call <= node.evicted) throw new Forgotten()
  }

  #event (room: string, packet: Packet): number {
    const written = writePacket(packet)
    const size = sizeOf(packet)
    for (const node of this.#rooms.get(room) ?? []) {
      const item = this.#runner === node ? ['e', room, written, this.#running] : ['e', room, written]
      this.#send(node, item, size)
    }
    return 0
  }

  /** One of the workers logs it. */
  #warn (object: object, message: string): void {
    const [first] = this.#nodes.values()
    if (first !== undefined) this.#send(first, ['w', object, message], message.length)
  }

  #presence (room: string, change: PresenceChange): void {
    const size = charactersOf(change)
    for (const node of this.#rooms.get(room) ?? []) this.#send(node, ['p', room, change], size)
  }

  #cleared (room: string, position: Position): void {
    for (const node of this.#rooms.get(room) ?? []) this.#send(node, ['g', room, position])
  }

  #tell (from: Node, message: unknown): void {
    const size = charactersOf(message)
    for (const node of this.#nodes.values()) if (node !== from) this.#send(node, ['c', from.id, message], size)
  }

  #send (node: Node, item: readonly unknown[], size = charactersOf(item)): void {
    const { waiting } = this.#options
    if (isLive(item)) {
      // It is asked first whether this worker is behind: what waits is then nothing that a second look could drop.
      if (!node.isBehind && node.line.size > waiting) {
        node.isBehind = true
        this.dropped += node.line.drop((each) => !isLive(each))
      }
      if (node.isBehind) {
        this.dropped++
        return
      }
    }
    // What cannot be read again waits for twice as long as that.
    if (node.line.size > 2 * waiting) {
      node.channel.end()
      return
    }
    node.line.push(item, size)
  }

  /** Called when a worker has taken all that it was sent. */
  caughtUp (tag: string): void {
    const node = this.#nodes.get(tag)
    if (node?.isBehind !== true) return
    node.isBehind = false
    node.line.push(['b'], 0)
  }

  /** Ends an adapter whose worker is gone: what it holds ends by its leases, so that who comes back is not missed. */
  gone (tag: string): void {
    const node = this.#nodes.get(tag)
    if (node === undefined) return
    this.#nodes.delete(tag)
    node.line.close()
    this.#tell(node, LEAVING)
    const now = performance.now()
    for (const [lease, end] of node.ends) {
      end.until = now + lease
      this.#slots.gone(end.until)
    }
    this.#core.presence.gone(node)
    this.#left.push({ node, rooms: node.rooms.values() })
    this.#leaving.run()
  }

  #leaveSome (): boolean {
    const [first] = this.#left
    if (first === undefined) return false
    for (let left = 0; left < LEFT; left++) {
      const room = first.rooms.next().value as string | undefined
      if (room === undefined) {
        this.#left.shift()
        break
      }
      this.#unsubscribe(first.node, room)
    }
    return this.#left.length > 0
  }
}
