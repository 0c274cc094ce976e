import { resolve } from 'node:path'
import { measure, probe } from './cell.js'
import type { Company } from './company.js'
import { KINDS } from './kinds.js'
import type { Options } from './options.js'
import { OURS, type Peer } from './peers.js'
import { report } from './report.js'
import { Results } from './results.js'
import type { Sample } from './sample.js'
import { selectedPeers, selectedWorkloads, takesPart } from './select.js'
import type { StageOptions } from './stage.js'
import { figure } from './table.js'
import type { Workload } from './workloads/types.js'

/** Peers that are tried at a time where nothing is measured. */
const LANES = 2

const say = (line: string): void => { process.stderr.write(`${line}\n`) }

function shown ({ drive }: Workload, sample: Sample): string {
  const { title, metric, format = figure } = KINDS[drive.kind].columns[0]!
  const rate = sample.perSecond === undefined ? '' : `, ${figure(sample.perSecond)}/s`
  return `${title} ${format(sample[metric] ?? Number.NaN)}${rate}`
}

export type Common = Omit<StageOptions, 'workload' | 'company' | 'profile'>

/** Goes through all workloads and peers that are selected, and keeps what was measured. */
export class Run {
  readonly results = new Results()
  readonly #options: Options
  readonly #common: Common
  readonly #company: (peer: Peer) => Company
  readonly #chosen: readonly Workload[]
  readonly #peers: readonly Peer[]

  /** @param company makes the processes of a measurement */
  constructor (options: Options, common: Common, company: (peer: Peer) => Company) {
    this.#options = options
    this.#common = common
    this.#company = company
    this.#chosen = selectedWorkloads(options, (note) => { this.note(note) })
    this.#peers = selectedPeers(options, this.#chosen)
  }

  /** Says what was left out, now and in the report. */
  note (note: string): void {
    say(note)
    this.results.notes.add(note)
  }

  #of (workload: Workload, company: Company): StageOptions {
    const { profiles } = this.#options
    const profile = profiles === undefined ? undefined : resolve(profiles, `${workload.id}-${company.peer.id}.cpuprofile`)
    return { ...this.#common, workload, company, profile }
  }

  /** Whether the peer answers; if not, the reason is named. */
  async #isLoadable (company: Company): Promise<boolean> {
    const { peer } = company
    const workload = this.#chosen.find((each) => takesPart(each, peer))!
    try {
      this.results.versions.set(peer.id, await probe(this.#of(workload, company)))
      return true
    } catch (error) {
      const reason = (error as Error).message.split('\n')[0]!
      if (peer.id === OURS) throw new Error(`fastify-realtime cannot be loaded (npm run build?): ${reason}`)
      this.note(`${peer.title} skipped: ${reason}`)
      return false
    }
  }

  /** @returns whether it could be measured */
  async #measure (workload: Workload, company: Company, repetition: number): Promise<boolean> {
    const { id } = company.peer
    const label = `${repetition + 1}/${this.#options.repeat} ${workload.id} ${id}`
    try {
      const sample = await measure(this.#of(workload, company))
      this.results.add(workload.id, id, repetition, sample)
      say(`${label}: ${shown(workload, sample)}`)
      return true
    } catch (error) {
      const reason = (error as Error).message
      say(`${label} failed: ${reason}`)
      this.results.fail(workload.id, id, reason.split('\n')[0]!)
      return false
    }
  }

  /** Every measurement has processes of its own, and the peers take turns within each workload of each repetition. */
  async all (): Promise<void> {
    const peers: Peer[] = []
    for (const peer of this.#peers) {
      const company = this.#company(peer)
      if (await this.#isLoadable(company)) peers.push(peer)
      await company.end()
    }
    for (let repetition = 0; repetition < this.#options.repeat; repetition++) {
      for (const workload of this.#chosen) {
        for (let i = 0; i < peers.length; i++) {
          // Each repetition starts with another peer, so that none always runs first.
          const peer = peers[(i + repetition) % peers.length]!
          if (!takesPart(workload, peer)) continue
          const company = this.#company(peer)
          await this.#measure(workload, company, repetition)
          await company.end()
        }
      }
    }
  }

  /** Each peer goes through all workloads in the same processes: enough to see that nothing crashes. */
  async smoke (): Promise<void> {
    const waiting = [...this.#peers]
    const lane = async (): Promise<void> => {
      for (let peer = waiting.shift(); peer !== undefined; peer = waiting.shift()) {
        const company = this.#company(peer)
        const isLoadable = await this.#isLoadable(company)
        for (const workload of isLoadable ? this.#chosen : []) {
          if (!takesPart(workload, peer)) continue
          if (!await this.#measure(workload, company, 0)) break
          for (const loader of company.loaders) await loader.call('leave', false)
        }
        await company.end()
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
  }

  report (): string { return report(this.#chosen, this.results, this.#options) }
}
