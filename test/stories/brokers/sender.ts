import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from './client.js'

/** What the sender of a message knows of it in the end. */
export type Fate = 'acked' | 'refused' | 'unknown'

/** Milliseconds between two tries of one message. */
const AGAIN = 100
/** Codes after which the same message is sent again under its id. */
const FOR_NOW = new Set(['unavailable', 'timeout', 'rate_limited', 'draining', 'internal', 'server_full'])

/** Sends messages of one client, one after the other, each until its outcome is known. */
export class Sender {
  readonly fates = new Map<string, Fate>()
  readonly #client: Client
  readonly #room: string
  #isOn = true
  #isPatient = true

  constructor (client: Client, room: string) {
    this.#client = client
    this.#room = room
  }

  /** @param every milliseconds between two messages */
  async run (every: number): Promise<void> {
    for (let n = 1; this.#isOn; n++) {
      const id = `${this.#client.user}-${n}`
      this.fates.set(id, await this.#send(id))
      await sleep(every)
    }
  }

  /** No other message follows; the last one is sent until its outcome is known. */
  stop (): void { this.#isOn = false }

  /** The last one is given up, too. */
  giveUp (): void {
    this.#isOn = false
    this.#isPatient = false
  }

  async #send (id: string): Promise<Fate> {
    while (this.#isPatient) {
      const answer = await this.#client.ask({ type: 'say', room: this.#room, id, data: {} })
      if (answer?.type === 'ack') return 'acked'
      const code = answer?.data?.code
      // `not_joined` is the answer to a WebSocket that is just entering.
      if (answer !== undefined && !FOR_NOW.has(String(code)) && code !== 'not_joined') return 'refused'
      await sleep(AGAIN)
    }
    return 'unknown'
  }
}
