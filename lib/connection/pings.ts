import { after } from '../structures/timers.js'

/** Pings of the application, until each is answered, its time is over, or the connection ends. */
export class Pings {
  readonly #waiting = new Map<string, (at?: number) => void>()

  /** Payloads of pings without an answer. */
  get payloads (): Iterable<string> { return this.#waiting.keys() }

  /**
   * Sends a ping.
   *
   * @param send writes the ping
   * @param timeout milliseconds
   * @returns the round trip in milliseconds; `undefined` when the time is over, `NaN` when the connection has ended
   */
  ask (payload: string, timeout: number, send: () => void): Promise<number | undefined> {
    return new Promise((resolve) => {
      const start = performance.now()
      const settle = (at?: number): void => {
        clearTimeout(timer)
        this.#waiting.delete(payload)
        resolve(at === undefined ? undefined : at - start)
      }
      const timer = after(settle, timeout)
      this.#waiting.set(payload, settle)
      send()
    })
  }

  answered (payload: string): void { this.#waiting.get(payload)?.(performance.now()) }

  /** Tells that the connection has ended. */
  end (): void { for (const settle of [...this.#waiting.values()]) settle(Number.NaN) }
}
