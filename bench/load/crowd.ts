import { setTimeout as sleep } from 'node:timers/promises'
import type { Churn, ConnectRequest, LoadApi, LoadReport, Speech } from '../shared/messages.js'
import { roomName, roomsOf } from '../shared/population.js'
import { tokenOf } from '../shared/token.js'
import { churn } from './churn.js'
import { Client, type ClientOptions } from './client.js'
import { DIALECTS } from './dialect.js'
import { LibraryClient } from './library-client.js'
import type { LoadClient } from './load-client.js'
import type { Place } from './place.js'
import { PollClient } from './poll-client.js'
import { CONVERSATIONS } from './poll-dialect.js'
import { speak, type Speaker } from './speak.js'
import { StreamClient } from './stream-client.js'
import { Totals } from './totals.js'

/** Source addresses: each has its own ports, and servers that bound upgrades by address see many. */
const ADDRESSES = process.platform === 'linux' ? 64 : 0

/** The clients of one load generator. */
export class Crowd implements LoadApi {
  readonly #totals = new Totals()
  readonly #clients = new Map<number, LoadClient>()
  readonly #places = new Map<number, Place>()
  #speakers: Speaker[] = []
  #request!: ConnectRequest
  #count = 0
  #since = { cpu: process.cpuUsage(), at: performance.now() }

  async connect (request: ConnectRequest): Promise<number> {
    this.#request = request
    const waiting: number[] = []
    for (let index = request.first; index < request.clients; index++) {
      if (index % request.loaders === request.loader) waiting.push(index)
    }
    // Tokens are made before, since what is measured is how fast the server admits.
    const options = new Map(waiting.map((index) => [index, this.#optionsOf(index)]))
    waiting.reverse()
    const start = performance.now()
    const worker = async (): Promise<void> => {
      for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
        const client = this.#dial(options.get(index)!)
        this.#clients.set(index, client)
        await client.ready
        if (this.#speaks(index)) this.#speakers.push({ client, room: roomsOf(index, request)[0]! })
      }
    }
    await Promise.all(Array.from({ length: request.concurrency }, worker))
    return performance.now() - start
  }

  #dial (options: ClientOptions): LoadClient {
    const { transport, dialect, wait, isLibrary } = this.#request
    if (isLibrary) return new LibraryClient(options, dialect, this.#totals)
    if (transport === 'sse') return new StreamClient(options, this.#totals)
    if (transport === 'polling') {
      return new PollClient(options, this.#totals, CONVERSATIONS[dialect]!(options.rooms[0]!, wait))
    }
    return new Client(options, this.#totals)
  }

  #speaks (index: number): boolean {
    const { rooms, roomsPerClient, speakers } = this.#request
    return index < speakers * rooms / roomsPerClient
  }

  #optionsOf (index: number): ClientOptions {
    const { port, dialect, compression, isSecure, isTracking, clients, sampled } = this.#request
    const isSampled = index % Math.max(1, Math.floor(clients / sampled)) === 0
    return {
      port,
      from: ADDRESSES === 0 ? undefined : `127.0.1.${1 + this.#count++ % ADDRESSES}`,
      token: tokenOf(index),
      rooms: roomsOf(index, this.#request).map(roomName),
      dialect: DIALECTS[dialect]!,
      isSecure,
      compression,
      isSampled,
      isTracking,
      isReading: isSampled || isTracking || this.#speaks(index),
      place: this.#places.get(index)
    }
  }

  async quiet (ms: number): Promise<void> {
    for (let seen = -1; seen !== this.#totals.bytes;) {
      seen = this.#totals.bytes
      await sleep(ms)
    }
  }

  async reset (): Promise<void> {
    this.#totals.reset()
    this.#since = { cpu: process.cpuUsage(), at: performance.now() }
  }

  async expect (events: number): Promise<void> { await this.#totals.expect(events) }

  async speak (speech: Speech): Promise<number[]> {
    const { dialect, rooms, loaders } = this.#request
    const perSecond = speech.perSecond === undefined ? undefined : speech.perSecond / loaders
    return await speak(this.#speakers, rooms, DIALECTS[dialect]!, { ...speech, perSecond })
  }

  async churn ({ clients, ms }: Churn): Promise<number> {
    const { dialect, rooms, loader, loaders } = this.#request
    const movers = Array.from({ length: clients }, (_, index) => index).filter((index) => index % loaders === loader)
    return await churn(movers.map((index) => ({
      client: this.#clients.get(index)!,
      room: roomName((roomsOf(index, this.#request)[0]! + 1) % rooms)
    })), DIALECTS[dialect]!, ms)
  }

  async leave (comesBack: boolean): Promise<void> {
    this.#places.clear()
    for (const [index, client] of this.#clients) {
      if (comesBack && client.place !== undefined) this.#places.set(index, client.place)
      client.end()
    }
    this.#clients.clear()
    this.#speakers = []
  }

  async report (): Promise<LoadReport> {
    const { user, system } = process.cpuUsage(this.#since.cpu)
    return {
      events: this.#totals.events,
      bytes: this.#totals.bytes,
      latencies: this.#totals.latencies.sort((a, b) => a - b),
      cpu: user + system,
      busy: (user + system) / 1_000 / (performance.now() - this.#since.at)
    }
  }
}
