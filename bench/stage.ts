import { setTimeout as sleep } from 'node:timers/promises'
import type { Child } from './child.js'
import type { Company } from './company.js'
import type { Certificate, ConnectRequest, LoadApi, LoadReport, Population, ServerApi, Started, Usage } from './shared/messages.js'
import type { Sample } from './sample.js'
import { coreTime } from './strangers.js'
import type { Times } from './workloads/times.js'
import type { Workload } from './workloads/types.js'

export interface StageOptions {
  readonly workload: Workload
  readonly company: Company
  readonly times: Times
  readonly certificate: Certificate
  /** file for a CPU profile of what is measured */
  readonly profile: string | undefined
}

/** What the server used, and when; `core`: what everybody used on its core, in microseconds. */
export interface Reading extends Usage { readonly at: number, readonly core: number | undefined }

/** Upgrades under way at a time. */
const CONCURRENCY = 64
/** milliseconds in which a server that caused a failure will have ended */
const GRACE = 100
/** clients whose events are read for the latency */
const SAMPLED = 20
/** milliseconds that a poll may wait for news where no heartbeat says less */
const WAIT = 25_000

/** What all measurements are made with: the server of a peer, the clients of the load generators, and their clocks. */
export class Stage {
  readonly workload: Workload
  readonly times: Times
  readonly company: Company
  readonly #options: StageOptions
  #port = 0

  constructor (options: StageOptions) {
    this.#options = options
    this.workload = options.workload
    this.times = options.times
    this.company = options.company
  }

  get server (): Child<ServerApi> { return this.company.server }

  /** Milliseconds that are measured. */
  get measure (): number { return this.workload.measure ?? this.times.measure }

  async start (): Promise<Started> {
    const { compression, flush, presence, isLong, isSecure, recovery, transport, drive } = this.workload
    const started = await this.server.call('start', {
      peer: this.company.peer.id,
      transport,
      certificate: isSecure ? this.#options.certificate : undefined,
      compression,
      flush,
      presence,
      isLong,
      recovery,
      heartbeat: drive.kind === 'beats' ? drive.heartbeat : undefined
    })
    this.#port = started.port
    return started
  }

  /** Measures; a server that dies takes its clients along, and its own words say more than theirs. */
  async within<T> (measure: () => Promise<T>): Promise<T> {
    try {
      return await measure()
    } catch (error) {
      await sleep(GRACE)
      const { ended } = this.server
      throw ended === undefined ? error : new Error(`the server ${ended}`)
    }
  }

  async all<T> (ask: (loader: Child<LoadApi>, index: number) => Promise<T>): Promise<T[]> {
    return await Promise.all(this.company.loaders.map(ask))
  }

  /** Connects clients. @returns milliseconds */
  async connect (first: number, clients: number, given: Partial<Population> = {}): Promise<number> {
    const { rooms, roomsPerClient, compression, drive, transport, isSecure, recovery } = this.workload
    const { loaders } = this.company
    const population = { rooms, roomsPerClient, ...given }
    const request: Omit<ConnectRequest, 'loader'> = {
      ...population,
      port: this.#port,
      dialect: this.company.peer.dialect,
      transport,
      isSecure,
      compression,
      first,
      clients,
      loaders: loaders.length,
      concurrency: Math.ceil(CONCURRENCY / loaders.length),
      speakers: drive.kind === 'speak' ? drive.speakers : drive.kind === 'churn' ? drive.movers / rooms : 0,
      sampled: SAMPLED,
      wait: drive.kind === 'beats' ? drive.heartbeat : WAIT,
      isLibrary: drive.kind === 'library',
      isTracking: drive.kind === 'resume' && recovery
    }
    return Math.max(...await this.all(async (loader, index) => await loader.call('connect', { ...request, loader: index })))
  }

  /** All clients cut their connections. @param comesBack where they were is remembered */
  async leave (comesBack: boolean): Promise<void> {
    await this.all(async (loader) => { await loader.call('leave', comesBack) })
  }

  async quiet (): Promise<void> {
    await this.all(async (loader) => { await loader.call('quiet', this.times.quiet) })
  }

  async reset (): Promise<void> {
    await this.all(async (loader) => { await loader.call('reset') })
  }

  async reports (): Promise<LoadReport[]> {
    return await this.all(async (loader) => await loader.call('report'))
  }

  async reading (): Promise<Reading> {
    return {
      ...await this.server.call('usage'),
      at: performance.now(),
      core: coreTime(this.company.cores.server)
    }
  }

  /** What the server uses when all is quiet and its garbage is gone. */
  async settled (): Promise<Usage> {
    await this.quiet()
    await this.server.call('collect')
    return await this.server.call('usage')
  }

  async profile (): Promise<void> {
    if (this.#options.profile !== undefined) await this.server.call('startProfile')
  }

  async profiled (): Promise<void> {
    if (this.#options.profile !== undefined) await this.server.call('writeProfile', this.#options.profile)
  }
}

/** CPU of the server between two readings, for each of so many events, upgrades or clients. */
export function cost (start: Reading, end: Reading, count: number): Pick<Sample, 'cpu' | 'user' | 'system' | 'own' | 'others'> {
  const user = (end.user - start.user) / count
  const system = (end.system - start.system) / count
  return { cpu: user + system, user, system, own: (end.own - start.own) / count, others: others(start, end) }
}

/** Share of the server's core that other processes had between two readings. */
function others (start: Reading, end: Reading): number | undefined {
  if (start.core === undefined || end.core === undefined) return undefined
  const ours = end.user + end.system - start.user - start.system
  return Math.max(0, (end.core - start.core - ours) / 1_000 / (end.at - start.at))
}

export function busiest (reports: readonly LoadReport[]): number { return Math.max(...reports.map(({ busy }) => busy)) }
