import type {
  Adapter, AdapterHost, ControlMessage, PresenceChange, Publication, RoomSettings
} from '../adapter.js'
import type { Packet } from '../../protocol/packet.js'
import { Latest } from '../../retention/latest.js'
import type { Scope } from './suite.js'
import { DAY } from '../../retention/bounds.js'
import { until } from './until.js'

export const reliable: RoomSettings = { history: { size: 100, ttl: 300_000 }, latest: true, definition: 'chat/:id' }
export const owned: RoomSettings = { ...reliable, owned: true }
export const live: RoomSettings = { history: false, latest: true, definition: 'live/:id' }

export function said (text: string, more: Partial<Publication> = {}): Publication {
  return { type: 'said', data: JSON.stringify({ text }), delivery: 'reliable', timestamp: Date.now(), ...more }
}

export function dataOf (packet: Packet): unknown {
  return (JSON.parse(String(packet.payload)) as { data: unknown }).data
}

export function textOf (packet: Packet): string {
  return (dataOf(packet) as { text: string }).text
}

type Gap = Parameters<AdapterHost['gap']>[1]

/**
 * A node as an adapter sees it: it records what it is told, and keeps count of what a member of each room would have
 * seen.
 */
export class FakeHost implements AdapterHost {
  readonly nodeId: string
  readonly remembered?: NonNullable<AdapterHost['remembered']>
  readonly events = new Map<string, Packet[]>()
  readonly gaps: Array<{ room: string } & Gap> = []
  readonly changes = new Map<string, PresenceChange[]>()
  readonly controls: Array<{ message: ControlMessage, from: string }> = []
  readonly states: boolean[] = []
  readonly notes: string[] = []
  readonly order: string[] = []
  members = 1
  /** The values of each room, as a room keeps them. */
  readonly #latest = new Map<string, Latest>()

  constructor (nodeId: string, remembered?: AdapterHost['remembered']) {
    this.nodeId = nodeId
    if (remembered !== undefined) this.remembered = remembered
  }

  readonly log = {
    info: (_object: object, message: string): void => { this.notes.push(message) },
    warn: (_object: object, message: string): void => { this.notes.push(message) }
  }

  event (room: string, packet: Packet): number {
    push(this.events, room, packet)
    if (packet.event?.delivery === 'latest') this.#set(room, packet)
    if (packet.position !== undefined) this.order.push(`${packet.position.epoch} ${packet.position.offset}`)
    return this.members
  }

  #set (room: string, packet: Packet): void {
    const latest = this.#latest.get(room) ?? new Latest(DAY)
    this.#latest.set(room, latest)
    latest.set(packet, performance.now())
  }

  /** What the adapter is told that members are shown, where a test says something else than what they are. */
  stale: ReadonlyMap<string, readonly Packet[]> | undefined

  values (room: string): Iterable<Packet> { return this.stale?.get(room) ?? this.#values(room) }

  #values (room: string): Iterable<Packet> { return this.#latest.get(room)?.aged(performance.now()) ?? [] }

  /** What members of a room are shown by now: `<key> <text>` of each value, in the order of keys. */
  shown (room: string): string[] {
    const values = [...this.#values(room)].filter(({ event }) => event!.isRemoval !== true)
    return values.map((packet) => `${packet.event!.key} ${textOf(packet)}`).sort()
  }

  gap (room: string, gap: Gap): void {
    this.gaps.push({ room, ...gap })
    this.order.push(`gap ${gap.epoch} ${gap.from ?? '-'} ${gap.to}`)
  }

  presence (room: string, change: PresenceChange): void { push(this.changes, room, change) }
  control (message: ControlMessage, from: string): void { this.controls.push({ message, from }) }
  /** How often the broker was there without its data. */
  forgotten = 0
  /** Holds anew what this node holds at the broker. */
  hold: () => Promise<void> = async () => {}
  async state (isUp: boolean, hasForgotten = false): Promise<void> {
    this.states.push(isUp)
    if (!hasForgotten) return
    this.forgotten++
    await this.hold()
  }

  /** How often messages of other nodes may have been missed for good. */
  missing = 0
  missed (): void { this.missing++ }

  texts (room: string): string[] { return (this.events.get(room) ?? []).map(textOf) }
  offsets (room: string): number[] {
    return (this.events.get(room) ?? []).map(({ position }) => position?.offset ?? -1)
  }

  async heard (room: string, count: number, deadline?: number): Promise<string[]> {
    return await until(`${this.nodeId} hears ${count} events of ${room}`, () => {
      const texts = this.texts(room)
      if (texts.length >= count) return texts
      throw new Error(`${texts.length} heard, the last ${texts.at(-1)}`)
    }, deadline)
  }
}

function push<T> (lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [item])
  else list.push(item)
}

export interface Node { readonly adapter: Adapter, readonly host: FakeHost }

export async function node (
  t: Scope, adapter: Adapter, id = 'a', remembered?: AdapterHost['remembered']
): Promise<Node> {
  const host = new FakeHost(id, remembered)
  t.teardown(() => adapter.close())
  await adapter.start(host)
  return { adapter, host }
}
