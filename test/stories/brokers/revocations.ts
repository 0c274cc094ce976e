import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from './client.js'
import type { FleetNode } from './fleet-node.js'
import { TRANSPORTS } from './links.js'
import { FEEDS } from './rooms.js'

/** Milliseconds between two tries to revoke. */
const AGAIN = 50

/** A user on one node, who is revoked by another node. */
class Revocation {
  readonly client: Client
  readonly #by: FleetNode
  #acceptedAt: number | undefined
  #goneAt: number | undefined

  constructor (client: Client, by: FleetNode) {
    this.client = client
    this.#by = by
  }

  /** Asks until it is accepted, or until `end`. */
  async revoke (end: () => number): Promise<void> {
    while (this.#acceptedAt === undefined && performance.now() < end()) {
      const isAccepted = await this.#by.call('revoke', this.client.user).then(() => true, () => false)
      if (isAccepted) this.#acceptedAt = performance.now()
      else await sleep(AGAIN)
    }
    while (this.#goneAt === undefined && performance.now() < end()) {
      if (this.#isKeptOut) this.#goneAt = performance.now()
      await sleep(5)
    }
  }

  /** Its link was ended as final, or its next request was refused. */
  get #isKeptOut (): boolean {
    const end = this.client.ends.at(-1)
    return !this.client.isIn && (end?.word === 'revoked' || end?.code === 4503)
  }

  /**
   * Milliseconds from the acceptance until the user was out; `Infinity` when he was not. A fault that was not over by
   * then is waited for: a node that cannot be reached cannot be told.
   */
  latency (from: number): number {
    if (this.#acceptedAt === undefined || this.#goneAt === undefined) return Infinity
    return Math.max(0, this.#goneAt - Math.max(from, this.#acceptedAt))
  }
}

/** One user of each transport on the first node; the others revoke them. */
export class Revocations {
  readonly #all: Revocation[]

  constructor (nodes: readonly FleetNode[], token: (user: string) => string, random: () => number) {
    this.#all = TRANSPORTS.map((transport, index) => {
      const user = `revoked-${index}`
      const client = new Client({
        user,
        token: token(user),
        transport,
        rooms: [FEEDS[0]],
        nodes: () => [nodes[0]!.isAlive ? nodes[0]! : nodes[2]!],
        random
      })
      client.start()
      return new Revocation(client, nodes[1 + index % 2]!)
    })
  }

  get areIn (): boolean { return this.#all.every(({ client }) => client.isIn) }

  /** Resolves when all are out, at the latest at `end`, by `performance.now()`, which is asked again each time. */
  async revoke (end: () => number): Promise<void> {
    await Promise.all(this.#all.map((each) => each.revoke(end)))
  }

  /** the slowest @param from end of the fault, where it cuts nodes off */
  latency (from: number): number { return Math.max(...this.#all.map((each) => each.latency(from))) }

  async stop (): Promise<void> { await Promise.all(this.#all.map(({ client }) => client.stop())) }
}
