import { spread, type Metric, type Sample, type Spread } from './sample.js'

/** Samples by workload, peer and repetition. */
export class Results {
  readonly #samples = new Map<string, Array<Sample | undefined>>()
  readonly #failures = new Map<string, string>()
  /** packages behind the peers, with their versions */
  readonly versions = new Map<string, string>()
  /** what was left out, and why */
  readonly notes = new Set<string>()

  add (workload: string, peer: string, repetition: number, sample: Sample): void {
    const key = `${workload}/${peer}`
    const samples = this.#samples.get(key) ?? []
    samples[repetition] = sample
    this.#samples.set(key, samples)
  }

  fail (workload: string, peer: string, reason: string): void {
    this.#failures.set(`${workload}/${peer}`, reason)
  }

  get failures (): ReadonlyMap<string, string> { return this.#failures }

  has (workload: string, peer: string): boolean { return this.#samples.has(`${workload}/${peer}`) }

  spread (workload: string, peer: string, metric: Metric): Spread | undefined {
    return spread((this.#samples.get(`${workload}/${peer}`) ?? []).map((sample) => sample?.[metric]))
  }

  /** Of each repetition the one over the other, so that what slowed the machine slowed both. */
  ratio (
    above: readonly [workload: string, peer: string],
    below: readonly [workload: string, peer: string],
    metric: Metric
  ): Spread | undefined {
    const upper = this.#samples.get(above.join('/')) ?? []
    const lower = this.#samples.get(below.join('/')) ?? []
    return spread(upper.map((sample, repetition) => {
      const [a, b] = [sample?.[metric], lower[repetition]?.[metric]]
      return a === undefined || b === undefined ? undefined : a / b
    }))
  }
}
