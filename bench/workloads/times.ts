import type { Mode } from '../options.js'

/** Milliseconds of the parts of one measurement. */
export interface Times {
  readonly warmup: number
  readonly measure: number
  /** nothing may arrive for so long before a part is over */
  readonly quiet: number
}

export const TIMES: Readonly<Record<Mode, Times>> = {
  full: { warmup: 1_000, measure: 3_000, quiet: 250 },
  quick: { warmup: 500, measure: 1_500, quiet: 150 },
  smoke: { warmup: 20, measure: 50, quiet: 40 }
}
