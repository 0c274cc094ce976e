import { Type } from '@sinclair/typebox'
import type { Test } from 'tap'
import type { Adapter } from '../../../lib/adapters/adapter.js'
import { defineRoom } from '../../../lib/index.js'
import {
  assertLedger, connect, eventually, start, statsOf, type ConnectOptions, type Frame, type NetPeer, type Running,
  type StartOptions, type TransportName
} from '../../helpers/net.js'

/** What the resume scenarios are run on. */
export interface Ground {
  readonly name: string
  /** Adapters that see the same data, which no other test sees: one for each node. `undefined`: the plugin's own. */
  readonly make: () => Promise<() => Adapter | undefined>
  /** Nodes that a client which was cut comes back to in turn, and that publish in turn. */
  readonly nodes: 1 | 2
  /** the long run */
  readonly run: { readonly events: number, readonly cuts: number }
  /** what a node keeps is read without waiting: a replay is over before anything else is answered */
  readonly isAtOnce: boolean
  /** the offsets of a room have no holes */
  readonly isDense: boolean
  /** it tells how many nodes were handed an acknowledged broadcast; where not, the timeout is the end of each */
  readonly isCounted: boolean
  /** milliseconds in which whoever answers an acknowledged broadcast has answered it */
  readonly patience: number
}

export const stream = defineRoom('stream/:id', { events: { e: Type.Object({ i: Type.Integer() }) } })
export const ROOM = 'stream/1'
/** Events of one publisher that may be under way at a time. */
const IN_FLIGHT = 16

export const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1)

/** One node, or two that share their data, as one app. */
export class Nodes {
  readonly all: readonly Running[]
  #turn = 0

  private constructor (all: readonly Running[]) { this.all = all }

  static async start (t: Test, { make, nodes }: Ground, options: StartOptions): Promise<Nodes> {
    const next = await make()
    const all: Running[] = []
    for (let i = 0; i < nodes; i++) {
      const adapter = next()
      all.push(await start(t, { ...options, ...(adapter === undefined ? {} : { adapter }) }))
    }
    return new Nodes(all)
  }

  /** The next in turn. */
  get next (): Running { return this.all[this.#turn++ % this.all.length]! }

  /** A token that every node takes; it lasts longer than a test. */
  token (user: string): string { return this.all[0]!.token(user, {}, 600) }

  async publish (from: number, to: number): Promise<void> {
    for (let i = from; i <= to; i++) await this.next.app.rooms.broadcast(stream.at({ id: '1' }), 'e', { i })
  }

  async isEmpty (): Promise<void> {
    await eventually(
      'an empty room',
      async () => await this.sum(async ({ app }) => (await statsOf(app)).rooms.active),
      (active) => active === 0
    )
  }

  async sum (of: (node: Running) => Promise<number>): Promise<number> {
    return (await Promise.all(this.all.map(of))).reduce((sum, each) => sum + each)
  }

  async assertLedgers (t: Test): Promise<void> {
    for (const { app } of this.all) await assertLedger(t, app)
  }
}

/**
 * Publishes without waiting for each, and never has more than a few under way. Keeps the number that came under each
 * offset.
 */
export class Publisher {
  readonly #room: string
  readonly #accepted = new Map<number, number>()
  readonly #pending: Array<Promise<void>> = []

  constructor (room = ROOM) { this.#room = room }

  push (node: Running, i: number): void {
    const accepting = node.app.rooms.broadcast(this.#room, 'e', {
      i
    }).then(({ position }) => { this.#accepted.set(position!.offset, i) })
    // Whoever waits for all is told.
    accepting.catch(() => undefined)
    this.#pending.push(accepting)
  }

  get isFull (): boolean { return this.#pending.length >= IN_FLIGHT }

  async settled (): Promise<void> { await Promise.all(this.#pending.splice(0)) }

  /** What was published, in the order of the offsets that it was given. */
  get inOrder (): { readonly offsets: number[], readonly numbers: number[] } {
    const entries = [...this.#accepted].sort(([a], [b]) => a - b)
    return { offsets: entries.map(([offset]) => offset), numbers: entries.map(([, i]) => i) }
  }
}

interface Place { position: { epoch: string, offset: number }, cursor: string, id: string }

/**
 * Where a client stands: what it was told at the join, moved by what it got. Each time it connects it does so to the
 * next node.
 */
export class Client {
  readonly got: number[] = []
  readonly offsets: number[] = []
  gaps = 0
  place: Place | undefined
  peer: NetPeer | undefined
  resumed: boolean | undefined
  #turn = 0
  readonly #nodes: Nodes
  readonly #user: string
  readonly #room: string
  readonly #isByCursor: boolean

  /**
   * @param options `isByCursor`: streams and polls go on from their cursor, as the same connection where they poll;
   *   else from a position
   */
  constructor (
    nodes: Nodes,
    user: string,
    { room = ROOM, isByCursor = false }: { room?: string, isByCursor?: boolean } = {}
  ) {
    this.#nodes = nodes
    this.#user = user
    this.#room = room
    this.#isByCursor = isByCursor
  }

  async open (transport: TransportName): Promise<void> {
    const { all } = this.#nodes
    const node = all[this.#turn++ % all.length]!
    const token = this.#nodes.token(this.#user)
    const { place } = this
    if (place !== undefined && transport === 'websocket') {
      this.peer = await connect(node, { transport, token })
      this.peer.send({ type: 'join', room: this.#room, id: 'j', data: { since: place.position, connection: place.id } })
      this.#told(await this.peer.next('ack', ({ type, id }) => type === 'ack' && id === 'j'))
      return
    }
    this.peer = await connect(node, { transport, token, rooms: [this.#room], query: this.#query(place) })
    const { rooms: said, resumed } = this.peer.welcome.data as { rooms: Record<string, object>, resumed?: boolean }
    // A poll that was still on its way when it was cut, and comes after this one, ends it with nothing said: the next
    // goes on from the same cursor.
    if (place !== undefined && this.#isByCursor && resumed === true && Object.keys(said).length === 0) {
      this.resumed = true
      return
    }
    this.#told({ type: 'ack', data: said[this.#room] })
  }

  #query (place: Place | undefined): NonNullable<ConnectOptions['query']> {
    if (place === undefined) return {}
    if (this.#isByCursor && place.cursor !== '') return { since: place.cursor, wait: '1' }
    return { at: `0:${place.position.epoch}:${place.position.offset}`, connection: place.id }
  }

  #told ({ data }: Frame): void {
    const { epoch, offset, resumed } = data as { epoch: string, offset: number, resumed?: boolean }
    this.resumed = resumed
    this.place = { position: { epoch, offset }, cursor: '', id: this.peer!.id }
  }

  /** Reads what has come; drops what is not above its position, as the protocol says. */
  read (): void {
    const { queue } = this.peer!
    const { position } = this.place!
    for (const { type, offset, data } of queue.all.splice(0)) {
      if (type === 'gap') this.gaps++
      if (type !== 'e' || offset! <= position.offset) continue
      position.offset = offset!
      this.offsets.push(offset!)
      this.got.push((data as { i: number }).i)
    }
  }

  async has (count: number, deadline?: number): Promise<void> {
    await eventually(
      `${count} events`,
      () => { this.read(); return this.got.length },
      (length) => length >= count,
      deadline
    )
  }

  cut (): void {
    this.read()
    this.place!.cursor = this.peer!.cursor
    this.peer!.cut()
  }
}
