import type { Subscription } from '@nats-io/transport-node'
import type { NatsLink } from './link.js'
import type { LogicalVersions } from './versions.js'

/**
 * Keeps the clocks together by which nodes without JetStream number their `latest` values. Each node sends its time
 * every few seconds, and all follow the fastest.
 */
export class VersionClocks {
  readonly #link: NatsLink
  readonly #versions: LogicalVersions
  readonly #subject: string
  #subscription: Subscription | undefined

  constructor (link: NatsLink, versions: LogicalVersions, prefix: string) {
    this.#link = link
    this.#versions = versions
    this.#subject = `${prefix}.clock`
  }

  start (): void {
    this.#subscription = this.#link.listen(this.#subject, (message) => { this.#heard(message.string()) })
  }

  close (): void { this.#subscription?.unsubscribe() }

  /**
   * Sends this node's time.
   *
   * @param ask `?` asks nodes that are ahead to answer
   */
  tell (ask: '' | '?'): void {
    if (this.#link.isUp) this.#link.send(this.#subject, `${this.#versions.time} ${ask}`)
  }

  #heard (text: string): void {
    const [time = '', ask = ''] = text.split(' ')
    const there = Number(time)
    if (!Number.isSafeInteger(there)) return
    if (ask === '?' && there < this.#versions.time - 1) this.tell('')
    this.#versions.follow(there)
  }
}
