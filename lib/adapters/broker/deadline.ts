import type { Awaitable } from '../../structures/awaitable.js'

/**
 * The moment at which a caller gives up, by `performance.now()` and by the clock of the server that is asked. All
 * attempts at one run of a server share one moment: its clock is known to some milliseconds only, so an attempt that
 * computed its own end could be refused as late while an older attempt that is still on its way is not.
 */
export class Deadline {
  readonly at: number
  #run = ''
  #time = 0

  constructor (at: number) {
    this.at = at
  }

  /**
   * @param run names one run of the server; empty in a cluster, where each shard has its own clock
   * @param read returns the server's time at the end, in milliseconds
   */
  on (run: string, read: (at: number) => Awaitable<number>): Awaitable<number> {
    if (run !== '' && run === this.#run) return this.#time
    const time = read(this.at)
    return time instanceof Promise ? time.then((later) => this.#keep(run, later)) : this.#keep(run, time)
  }

  #keep (run: string, time: number): number {
    this.#run = run
    this.#time = time
    return time
  }
}
