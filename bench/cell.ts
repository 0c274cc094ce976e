import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Child } from './child.js'
import type { Cores } from './cores.js'
import type { LoadApi, Round, ServerApi, Started, Usage } from './shared/messages.js'
import type { Peer } from './peers.js'
import { membersByLoader } from './shared/population.js'
import { percentile, type Sample } from './sample.js'
import { coreTime } from './strangers.js'
import { BRISK, type Drive, type Times, type Workload } from './workloads.js'

export interface CellOptions {
  readonly workload: Workload
  readonly peer: Peer
  readonly cores: Cores
  /** folder of the children's scripts */
  readonly scripts: URL
  readonly times: Times
  /** file for a CPU profile of what is measured */
  readonly profile: string | undefined
}

/** What the server used, and when; `core`: what everybody used on its core, in microseconds. */
interface Reading extends Usage { readonly at: number, readonly core: number | undefined }

/** Upgrades before the measured ones, over those that are measured. */
export const WARM_UPGRADES = 0.5
/** Upgrades under way at a time. */
const CONCURRENCY = 64
/** How much faster than what is measured a fixed rate is warmed up. */
const HASTE = 3
/** milliseconds in which a server that caused a failure will have ended */
const GRACE = 100
/** clients whose events are read for the latency */
const SAMPLED = 20

const sum = (values: Iterable<number>): number => {
  let total = 0
  for (const value of values) total += value
  return total
}

/** One measurement: one workload on one peer, in fresh processes. */
export class Cell {
  readonly #options: CellOptions
  readonly #workload: Workload
  readonly #server: Child<ServerApi>
  readonly #loaders: ReadonlyArray<Child<LoadApi>>
  readonly #members: readonly Uint32Array[]
  #nextRoom = 0
  #expected = 0

  constructor (options: CellOptions) {
    const { workload, cores, scripts } = options
    const script = (path: string): string => fileURLToPath(new URL(path, scripts))
    this.#options = options
    this.#workload = workload
    this.#server = new Child(script('servers/main.js'), { core: cores.server, nodeArguments: ['--expose-gc'] })
    this.#loaders = cores.load.map((core) => new Child<LoadApi>(script('load/main.js'), {
      core,
      nodeArguments: ['--max-semi-space-size=64']
    }))
    this.#members = membersByLoader(workload, this.#loaders.length)
  }

  /** Whether the server can be loaded at all. @returns package and version */
  async probe (): Promise<string> {
    return await this.#within(async ({ version }) => version)
  }

  async run (): Promise<Sample> {
    const { drive } = this.#workload
    return await this.#within(async ({ port }) => {
      if (drive.kind === 'idle') return await this.#idle(port, drive.before)
      if (drive.kind === 'upgrades') return await this.#upgrades(port)
      return await this.#delivery(port)
    })
  }

  async #within<T> (measure: (started: Started) => Promise<T>): Promise<T> {
    const { peer } = this.#options
    const { compression, flush, presence, isLong } = this.#workload
    try {
      return await measure(await this.#server.call('start', { peer: peer.id, compression, flush, presence, isLong }))
    } catch (error) {
      // A server that dies takes its clients along: its own words say more than theirs.
      await sleep(GRACE)
      throw this.#server.ended === undefined ? error : new Error(`the server ${this.#server.ended}`)
    } finally {
      await Promise.all([this.#server.end(), ...this.#loaders.map((loader) => loader.end())])
    }
  }

  async #all<T> (ask: (loader: Child<LoadApi>, index: number) => Promise<T>): Promise<T[]> {
    return await Promise.all(this.#loaders.map(ask))
  }

  /** @returns milliseconds */
  async #connect (port: number, first: number, clients: number): Promise<number> {
    const { rooms, roomsPerClient, compression, drive } = this.#workload
    const loaders = this.#loaders.length
    const speakers = drive.kind === 'speak' ? drive.speakers : 0
    const took = await this.#all(async (loader, index) => await loader.call('connect', {
      port,
      dialect: this.#options.peer.dialect,
      compression,
      first,
      clients,
      rooms,
      roomsPerClient,
      loader: index,
      loaders,
      concurrency: Math.ceil(CONCURRENCY / loaders),
      speakers,
      sampled: SAMPLED
    }))
    return Math.max(...took)
  }

  async #reading (): Promise<Reading> {
    return { ...await this.#server.call('usage'), at: performance.now(), core: coreTime(this.#options.cores.server) }
  }

  async #profile (): Promise<void> {
    if (this.#options.profile !== undefined) await this.#server.call('startProfile')
  }

  async #profiled (): Promise<void> {
    if (this.#options.profile !== undefined) await this.#server.call('writeProfile', this.#options.profile)
  }

  async #quiet (): Promise<void> {
    await this.#all(async (loader) => { await loader.call('quiet', this.#options.times.quiet) })
  }

  async #idle (port: number, before: number): Promise<Sample> {
    const { clients } = this.#workload
    const settled = async (): Promise<Usage> => {
      await this.#quiet()
      await this.#server.call('collect')
      return await this.#server.call('usage')
    }
    await this.#connect(port, 0, before)
    const start = await settled()
    await this.#connect(port, before, before + clients)
    const end = await settled()
    return { memory: (end.rss - start.rss) / clients, heap: (end.heap - start.heap) / clients }
  }

  async #upgrades (port: number): Promise<Sample> {
    const { clients } = this.#workload
    const warm = Math.ceil(clients * WARM_UPGRADES)
    await this.#connect(port, 0, warm)
    // No collection first: it would find no request alive, and take with the shapes of requests all code that was
    // compiled for them.
    await this.#all(async (loader) => { await loader.call('reset') })
    await this.#profile()
    const start = await this.#reading()
    const ms = await this.#connect(port, warm, warm + clients)
    const end = await this.#reading()
    await this.#profiled()
    const reports = await this.#all(async (loader) => await loader.call('report'))
    return {
      ...cost(start, end, clients),
      perSecond: clients / ms * 1_000,
      others: others(start, end),
      busy: Math.max(...reports.map(({ busy }) => busy))
    }
  }

  async #delivery (port: number): Promise<Sample> {
    const { clients, drive } = this.#workload
    const { warmup, measure } = this.#options.times
    await this.#connect(port, 0, clients)
    await this.#quiet()
    await this.#drive(drive.kind === 'rate' ? BRISK : drive, warmup)
    await this.#quiet()
    await this.#server.call('collect')
    if (drive.kind === 'rate') {
      // Timers run at a rate only: their code, Node's and the drive's included, would be compiled while it is measured.
      await this.#drive({ ...drive, perSecond: drive.perSecond * HASTE }, measure)
      await this.#quiet()
    }
    await this.#all(async (loader) => { await loader.call('reset') })
    this.#expected = 0
    await this.#profile()
    const start = await this.#reading()
    await this.#drive(drive, measure)
    const end = await this.#reading()
    await this.#profiled()
    await this.#quiet()
    const reports = await this.#all(async (loader) => await loader.call('report'))
    const events = sum(reports.map((report) => report.events))
    if (events !== this.#expected) throw new Error(`${this.#expected} events were due, ${events} arrived`)
    const latencies = reports.flatMap((report) => report.latencies).sort((a, b) => a - b)
    const inMs = (microseconds: number | undefined): number | undefined => microseconds === undefined
      ? undefined
      : microseconds / 1_000
    return {
      ...cost(start, end, events),
      perSecond: events / (end.at - start.at) * 1_000,
      p50: inMs(percentile(latencies, 0.5)),
      p99: inMs(percentile(latencies, 0.99)),
      others: others(start, end),
      syscalls: share(start.syscalls, end.syscalls, events),
      writes: share(start.writes, end.writes, events),
      loopDelay: end.loopDelay,
      busy: Math.max(...reports.map(({ busy }) => busy))
    }
  }

  async #drive (drive: Drive, ms: number): Promise<void> {
    if (drive.kind === 'rounds') {
      const end = performance.now() + ms
      do await this.#round(drive.burst, drive.turns); while (performance.now() < end)
    } else if (drive.kind === 'rate') {
      const events = await this.#server.call('rate', { room: 0, perSecond: drive.perSecond, ms })
      await this.#arrived((members) => members[0]! * events)
    } else if (drive.kind === 'speak') {
      const sent = await this.#all(async (loader) => await loader.call('speak', ms))
      await this.#arrived((members) => sum(members.map((count, room) => count * sum(sent.map((by) => by[room]!)))))
    }
  }

  async #round (burst: number, turns: number): Promise<void> {
    const rooms = Array.from({ length: turns }, () => this.#nextRoom++ % this.#workload.rooms)
    const arrived = this.#arrived((members) => burst * sum(rooms.map((room) => members[room]!)))
    const round: Round = { rooms, burst }
    this.#server.post('round', round)
    await arrived
  }

  /** @param count events for one load generator, by its members of each room */
  async #arrived (count: (members: Uint32Array) => number): Promise<void> {
    await this.#all(async (loader, index) => {
      const events = count(this.#members[index]!)
      this.#expected += events
      await loader.call('expect', events)
    })
  }
}

function cost (start: Usage, end: Usage, count: number): Pick<Sample, 'cpu' | 'user' | 'system'> {
  const user = (end.user - start.user) / count
  const system = (end.system - start.system) / count
  return { cpu: user + system, user, system }
}

/** Share of the server's core that other processes had between two readings. */
function others (start: Reading, end: Reading): number | undefined {
  if (start.core === undefined || end.core === undefined) return undefined
  const ours = end.user + end.system - start.user - start.system
  return Math.max(0, (end.core - start.core - ours) / 1_000 / (end.at - start.at))
}

function share (start: number | undefined, end: number | undefined, count: number): number | undefined {
  return start === undefined || end === undefined ? undefined : (end - start) / count
}
