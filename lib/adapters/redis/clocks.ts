import type { Awaitable } from '../../structures/awaitable.js'
import { ServerClock } from './clock.js'

export interface ServerClocksOptions {
  /** Returns the shard that keeps a key; '' for a single server. */
  readonly shardOf: (key: string) => string
  /** Asks the shard of a key for its time, `[seconds, microseconds]`; it rejects as every command does. */
  readonly ask: (key: string) => Promise<unknown>
}

/** Knows the time of each server: of the single one under the name '', in a cluster by shard. */
export class ServerClocks {
  readonly #options: ServerClocksOptions
  readonly #known = new Map<string, ServerClock>()
  /** Clocks that are being asked for, by shard: commands that need one of them wait for one answer. */
  readonly #asked = new Map<string, Promise<ServerClock>>()

  constructor (options: ServerClocksOptions) {
    this.#options = options
  }

  /** Names of the shards whose time is known. */
  get names (): Iterable<string> { return this.#known.keys() }

  forget (name: string): void { this.#known.delete(name) }

  forgetAll (): void { this.#known.clear() }

  /**
   * Milliseconds by which the clock of the server that keeps `key` is ahead of this machine's; 0 where it is not known.
   */
  ahead (key: string): number { return this.#known.get(this.#options.shardOf(key))?.ahead ?? 0 }

  /**
   * Time of the server that keeps `key`, in milliseconds, at `at` by `performance.now()`. A shard whose time is unknown
   * does not get a command that it must not execute late.
   *
   * @throws what `ask` throws; the command that needs the time was not sent
   */
  timeOf (key: string, at: number): Awaitable<number> {
    const shard = this.#options.shardOf(key)
    const known = this.#known.get(shard)
    if (known !== undefined) return known.at(at)
    let asked = this.#asked.get(shard)
    if (asked === undefined) {
      // The answer may have come from another shard than the one that was taken for the key's.
      asked = this.read(() => this.#options.shardOf(key), () => this.#options.ask(key))
        .finally(() => { this.#asked.delete(shard) })
      this.#asked.set(shard, asked)
    }
    return asked.then((clock) => clock.at(at))
  }

  /** @param nameOf returns the shard that has answered */
  async read (nameOf: () => string, ask: () => Promise<unknown>): Promise<ServerClock> {
    const before = performance.now()
    const [seconds, micros] = await ask() as [string, string]
    const name = nameOf()
    const clock = this.#known.get(name) ?? new ServerClock()
    clock.read(Number(seconds) * 1_000 + Number(micros) / 1_000, before, performance.now())
    this.#known.set(name, clock)
    return clock
  }
}
