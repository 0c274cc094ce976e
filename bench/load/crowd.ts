import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectRequest, LoadApi, LoadReport } from '../shared/messages.js'
import { eventData } from '../shared/payload.js'
import { roomName, roomsOf } from '../shared/population.js'
import { tokenOf } from '../shared/token.js'
import { Client, type ClientOptions } from './client.js'
import { DIALECTS } from './dialect.js'
import { Totals } from './totals.js'

/** Source addresses: each has its own ports, and servers that bound upgrades by address see many. */
const ADDRESSES = process.platform === 'linux' ? 64 : 0

interface Speaker { readonly client: Client, readonly room: number }

/** The clients of one load generator. */
export class Crowd implements LoadApi {
  readonly #totals = new Totals()
  readonly #speakers: Speaker[] = []
  #request!: ConnectRequest
  #count = 0
  #messages = 0
  #since = { cpu: process.cpuUsage(), at: performance.now() }

  async connect (request: ConnectRequest): Promise<number> {
    this.#request = request
    const waiting: Array<{ index: number, options: ClientOptions }> = []
    for (let index = request.first; index < request.clients; index++) {
      if (index % request.loaders === request.loader) waiting.push({ index, options: this.#optionsOf(index) })
    }
    waiting.reverse()
    const start = performance.now()
    const worker = async (): Promise<void> => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        const client = new Client(next.options, this.#totals)
        await client.ready
        if (this.#speaks(next.index)) this.#speakers.push({ client, room: roomsOf(next.index, request)[0]! })
      }
    }
    await Promise.all(Array.from({ length: request.concurrency }, worker))
    return performance.now() - start
  }

  #speaks (index: number): boolean {
    const { rooms, roomsPerClient, speakers } = this.#request
    return index < speakers * rooms / roomsPerClient
  }

  #optionsOf (index: number): ClientOptions {
    const { port, dialect, compression, clients, sampled } = this.#request
    const isSampled = index % Math.max(1, Math.floor(clients / sampled)) === 0
    return {
      port,
      from: ADDRESSES === 0 ? undefined : `127.0.1.${1 + this.#count++ % ADDRESSES}`,
      token: tokenOf(index),
      rooms: roomsOf(index, this.#request).map(roomName),
      dialect: DIALECTS[dialect]!,
      compression,
      isSampled,
      isReading: isSampled || this.#speaks(index)
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

  async speak (ms: number): Promise<number[]> {
    const sent = new Array<number>(this.#request.rooms).fill(0)
    const { say } = DIALECTS[this.#request.dialect]!
    const end = performance.now() + ms
    await Promise.all(this.#speakers.map(({ client, room }) => new Promise<void>((resolve) => {
      client.onAck = (): void => {
        if (performance.now() >= end) return resolve()
        sent[room]!++
        client.send(say(client.room, this.#messages++, eventData(false)))
      }
      client.onAck()
    })))
    return sent
  }

  async report (): Promise<LoadReport> {
    const { user, system } = process.cpuUsage(this.#since.cpu)
    return {
      events: this.#totals.events,
      bytes: this.#totals.bytes,
      latencies: this.#totals.latencies.sort((a, b) => a - b),
      busy: (user + system) / 1_000 / (performance.now() - this.#since.at)
    }
  }
}
