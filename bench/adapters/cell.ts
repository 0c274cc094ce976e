import { fileURLToPath } from 'node:url'
import { Child } from '../child.js'
import type { CrowdApi, CrowdReport, NodeApi } from '../nodes/messages.js'
import { percentile } from '../sample.js'
import { sentOf, type Broker, type BrokerReading } from './broker.js'
import type { AdapterPeer } from './peers.js'

export const ROOMS = 100
export const MEMBERS = 4
/** Events under way at a time, of all nodes together. */
export const WINDOW = 256
/** Nothing may arrive for so long before a part is over, milliseconds. */
const QUIET = 200
/** Until all subscriptions stand, nothing is counted. */
const SETTLE = { perSecond: 200, ms: 500 }
const WARM_UP = 0.2
const WARM_RATE = 0.1

export interface CellOptions {
  readonly peer: AdapterPeer
  readonly nodes: number
  readonly seconds: number
  readonly rate: number
  readonly broker: Broker
  /** folder of the children's scripts */
  readonly scripts: URL
}

/** One part of a measurement, for one event published unless said otherwise. */
export interface Part {
  readonly perSecond: number
  /** milliseconds from before the publish to a member: of any node, of another one */
  readonly p50: number | undefined
  readonly p99: number | undefined
  readonly otherP50: number | undefined
  readonly otherP99: number | undefined
  /** CPU microseconds of all nodes, and of the broker */
  readonly nodesCpu: number
  readonly brokerCpu: number
  /** commands that nodes sent, and all that were run, those inside scripts included */
  readonly sent: number
  readonly commands: number
  readonly brokerBytes: number
  /** share of a core that the load generator used */
  readonly busy: number
  /** events that a member did not get */
  readonly lost: number
}

export interface CellResult {
  readonly saturated: Part
  readonly steady: Part
  readonly commands: ReadonlyMap<string, number>
  readonly versions: readonly string[]
}

interface Measured { readonly part: Part, readonly commands: ReadonlyMap<string, number> }

/**
 * One peer on so many nodes, in fresh processes and an empty broker: first as fast as it goes, then at a steady rate.
 */
export class AdapterCell {
  readonly #options: CellOptions
  readonly #nodes: ReadonlyArray<Child<NodeApi>>
  readonly #crowd: Child<CrowdApi>

  constructor (options: CellOptions) {
    const { nodes, scripts } = options
    const script = (path: string): string => fileURLToPath(new URL(path, scripts))
    this.#options = options
    // More processes than cores: none is pinned, for anybody.
    this.#nodes = Array.from({ length: nodes }, () => new Child<NodeApi>(script('nodes/main.js'), { core: undefined }))
    this.#crowd = new Child<CrowdApi>(script('nodes/crowd.js'), {
      core: undefined,
      nodeArguments: ['--max-semi-space-size=64']
    })
  }

  async run (): Promise<CellResult> {
    const { peer, broker, seconds, rate } = this.#options
    try {
      await broker.empty()
      const started = await Promise.all(this.#nodes.map(async (node) => await node.call('start', {
        peer: peer.id,
        redis: broker.url
      })))
      await this.#crowd.call('connect', { dialect: peer.dialect, nodes: started, rooms: ROOMS, members: MEMBERS })
      await this.#trickle(SETTLE.perSecond, SETTLE.ms)
      await this.#quiet()
      const ms = seconds * 1_000
      await this.#saturate(ms * WARM_UP)
      const saturated = await this.#measure(ms, async () => await this.#saturate(ms))
      await this.#trickle(rate, ms * WARM_RATE)
      const steady = await this.#measure(ms, async () => await this.#trickle(rate, ms))
      return {
        saturated: saturated.part,
        steady: steady.part,
        commands: steady.commands,
        versions: started[0]!.versions
      }
    } finally {
      await Promise.all([...this.#nodes, this.#crowd].map(async (child) => { await child.end() }))
    }
  }

  async #quiet (): Promise<void> { await this.#crowd.call('quiet', QUIET) }

  async #saturate (ms: number): Promise<number> {
    const window = Math.floor(WINDOW / this.#nodes.length)
    return sum(await Promise.all(this.#nodes.map(async (node, index) => await node.call('saturate', {
      index,
      rooms: ROOMS,
      window,
      ms
    }))))
  }

  async #trickle (rate: number, ms: number): Promise<number> {
    const perSecond = rate / this.#nodes.length
    return sum(await Promise.all(this.#nodes.map(async (node, index) => await node.call('trickle', {
      index,
      rooms: ROOMS,
      perSecond,
      ms
    }))))
  }

  async #cpu (): Promise<number> {
    return sum(await Promise.all(this.#nodes.map(async (node) => await node.call('cpu'))))
  }

  async #measure (ms: number, publish: () => Promise<number>): Promise<Measured> {
    const { broker } = this.#options
    await this.#quiet()
    await this.#crowd.call('reset')
    await broker.reset()
    const [cpu, before] = [await this.#cpu(), await broker.read()]
    const published = await publish()
    const report = await this.#crowd.call('report')
    const [spent, after] = [await this.#cpu() - cpu, await broker.read()]
    await this.#quiet()
    const { events } = await this.#crowd.call('report')
    return {
      part: partOf(published, ms, report, events, spent, before, after),
      commands: new Map([...after.commands].map(([name, calls]) => [name, calls / published]))
    }
  }
}

function partOf (
  published: number,
  ms: number,
  { own, other, busy }: CrowdReport,
  events: number,
  spent: number,
  before: BrokerReading,
  after: BrokerReading
): Part {
  const all = [...own, ...other].sort((a, b) => a - b)
  const milliseconds = (sorted: readonly number[], share: number): number | undefined => {
    const value = percentile(sorted, share)
    return value === undefined ? undefined : value / 1_000
  }
  return {
    perSecond: published / ms * 1_000,
    p50: milliseconds(all, 0.5),
    p99: milliseconds(all, 0.99),
    otherP50: milliseconds(other, 0.5),
    otherP99: milliseconds(other, 0.99),
    nodesCpu: spent / published,
    brokerCpu: (after.cpu - before.cpu) / published,
    sent: sentOf(after.commands) / published,
    commands: sum(after.commands.values()) / published,
    brokerBytes: after.sent / published,
    busy,
    lost: published * MEMBERS - events
  }
}

function sum (values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}
