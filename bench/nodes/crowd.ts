import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '../load/client.js'
import { DIALECTS } from '../load/dialect.js'
import { Totals } from '../load/totals.js'
import { age } from '../shared/payload.js'
import { roomName } from '../shared/population.js'
import { serve } from '../shared/rpc.js'
import { tokenOf } from '../shared/token.js'
import { ArrivalTeller } from './arrivals.js'
import type { CrowdApi, CrowdReport, CrowdRequest } from './messages.js'
import { publisherOf } from './peer.js'

/** Source addresses: servers that bound upgrades by address see many. */
const ADDRESSES = process.platform === 'linux' ? 64 : 0
const CONCURRENCY = 32

/**
 * The clients of all nodes. The first member of each room reads what it gets, and says that it has arrived; the others
 * count.
 */
class NodesCrowd implements CrowdApi {
  readonly #totals = new Totals()
  #tellers: ArrivalTeller[] = []
  #own: number[] = []
  #other: number[] = []
  #since = { cpu: process.cpuUsage(), at: performance.now() }

  async connect (request: CrowdRequest): Promise<void> {
    this.#tellers = request.nodes.map(({ arrivals }) => new ArrivalTeller(arrivals))
    const waiting = Array.from({ length: request.rooms * request.members }, (_, index) => index).reverse()
    const worker = async (): Promise<void> => {
      for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
        await this.#client(index, request).ready
      }
    }
    await Promise.all(Array.from({ length: CONCURRENCY }, worker))
  }

  #client (index: number, { dialect, nodes, rooms }: CrowdRequest): Client {
    const room = index % rooms
    const member = Math.floor(index / rooms)
    const node = (room + member) % nodes.length
    const isReading = member === 0
    const client = new Client({
      port: nodes[node]!.port,
      from: ADDRESSES === 0 ? undefined : `127.0.1.${1 + index % ADDRESSES}`,
      token: tokenOf(index),
      rooms: [roomName(room)],
      dialect: DIALECTS[dialect]!,
      compression: false,
      isSampled: false,
      isReading
    }, this.#totals)
    if (isReading) client.onEvent = (payload) => { this.#read(payload, node) }
    return client
  }

  #read (payload: Buffer, node: number): void {
    const publisher = publisherOf(payload)
    const microseconds = age(payload)
    if (microseconds === undefined) return
    (publisher === node ? this.#own : this.#other).push(microseconds)
    this.#tellers[publisher]!.tell()
  }

  async quiet (ms: number): Promise<void> {
    for (let seen = -1; seen !== this.#totals.events;) {
      seen = this.#totals.events
      await sleep(ms)
    }
  }

  async reset (): Promise<void> {
    this.#totals.reset()
    this.#own = []
    this.#other = []
    this.#since = { cpu: process.cpuUsage(), at: performance.now() }
  }

  async report (): Promise<CrowdReport> {
    const { user, system } = process.cpuUsage(this.#since.cpu)
    const ascending = (a: number, b: number): number => a - b
    return {
      events: this.#totals.events,
      own: this.#own.sort(ascending),
      other: this.#other.sort(ascending),
      busy: (user + system) / 1_000 / (performance.now() - this.#since.at)
    }
  }
}

serve(new NodesCrowd())
