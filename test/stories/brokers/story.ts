import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSigner } from 'fast-jwt'
import { clockOff } from '../../helpers/clock.js'
import { until, type Teardown } from '../../helpers/servers.js'
import type { AdapterName, Broker, Way } from './broker.js'
import { bundleNode } from './bundle.js'
import { Client } from './client.js'
import type { Fault } from './faults.js'
import { FleetNode } from './fleet-node.js'
import { Guests } from './guests.js'
import { readJournal } from './journal.js'
import { TRANSPORTS } from './links.js'
import { startNatsBroker } from './nats-broker.js'
import { judge, type Counts, type Verdict } from './oracle.js'
import { startRedisBroker } from './redis-broker.js'
import { Revocations } from './revocations.js'
import { BOOTH, FEEDS, SECRET } from './rooms.js'
import { Seats } from './seats.js'
import { Sender, type Fate } from './sender.js'
import { randomBy } from '../../helpers/random.js'

export interface StoryOptions {
  readonly adapter: AdapterName
  readonly fault: Fault
  /** draws the moves of the clients; not the points of the traffic at which they happen */
  readonly seed: number
}

/** What a run came to. All lists but `again` must be empty, `over` and `stuck` 0. */
export interface Result extends Verdict {
  readonly counts: Counts
  /** milliseconds of the slowest revocation */
  readonly revocation: number
  /** connections above the limit while the broker was there, and seats that could not be had again */
  readonly over: number
  readonly stuck: number
  /** milliseconds that each waited for a seat that a node gave or refused without the broker's answer */
  readonly alone: readonly number[]
  /** milliseconds from the beginning of the fault to its end: on a busy machine a blink may be none */
  readonly lasted: number
  readonly flaps: readonly string[]
  readonly ghosts: readonly string[]
  /** nodes that ended by themselves, clients that did not come back, and what else kept the story from its end */
  readonly broken: readonly string[]
  readonly seconds: number
}

const CLIENTS = 12
const NODES = 3
/** Milliseconds between two events of a publisher in one room, and between two messages of a client. */
const EVERY = 25
const TALK = 200
/** Milliseconds between two clients that lose their link. */
const MOVE = 250
/** Milliseconds that all have, when the fault is over, to be in again and to know what is. */
const SETTLE = 20_000
/** Milliseconds in which what came of the last messages is to be known. */
const SENT = 10_000
/** Milliseconds in which everybody hears what all nodes publish. */
const ROUND = 4_000
/**
 * Milliseconds, beyond what a request may take, behind the end of a fault: connections that were let in without the
 * broker leave again, and seats that could not be given back are.
 */
const CALM = 1_500
const GIVEN_BACK = 2_500

/** Undoes what a run has begun, the last first. */
class Cleanup implements Teardown {
  readonly #callbacks: Array<() => unknown> = []
  teardown (callback: () => unknown): void { this.#callbacks.push(callback) }
  async run (): Promise<void> { for (const callback of this.#callbacks.reverse()) await callback() }
}

/** Three nodes, clients on all transports that move between them, and one fault. */
export async function tell (options: StoryOptions): Promise<Result> {
  const cleanup = new Cleanup()
  try {
    return await new Story(cleanup, options).run()
  } finally {
    await cleanup.run()
  }
}

class Story {
  readonly #t: Cleanup
  readonly #options: StoryOptions
  readonly #random: () => number
  readonly #token: (user: string) => string
  readonly #broken: string[] = []
  readonly #nodes: FleetNode[] = []
  readonly #ways: Way[] = []
  readonly #clients: Client[] = []
  #broker!: Broker
  #directory!: string

  constructor (t: Cleanup, options: StoryOptions) {
    this.#t = t
    this.#options = options
    this.#random = randomBy(options.seed)
    const sign = createSigner({ key: SECRET, expiresIn: 86_400_000 })
    this.#token = (user) => sign({ sub: user })
  }

  async run (): Promise<Result> {
    const { fault } = this.#options
    const start = performance.now()
    await this.#open()
    const guests = new Guests({ token: this.#token, nodes: this.#nodes, random: this.#random })
    const revocations = new Revocations(this.#nodes, this.#token, this.#random)
    this.#t.teardown(() => Promise.all([guests.stop(), revocations.stop()]))
    this.#enter()
    await this.#attempt(
      'everybody is in',
      () => this.#clients.every(({ isIn }) => isIn) && guests.areIn && revocations.areIn,
      () => this.#out
    )
    const seats = new Seats({ contenders: 8, token: this.#token, nodes: () => this.#nodes, random: this.#random })
    guests.mingle()
    const senders = this.#clients.map((client, index) => new Sender(client, FEEDS[index % FEEDS.length]!))
    const talking = senders.map((sender) => sender.run(TALK))
    await this.#publish()
    const moving = setInterval(() => { this.#clients[Math.floor(this.#random() * CLIENTS)]!.cut() }, MOVE)
    await sleep(1_000)

    seats.isCounted = fault.isBlink === true
    const began = performance.now()
    const harm = fault.run({ broker: this.#broker, nodes: this.#nodes, ways: this.#ways })
    await sleep(100)
    let end = Infinity
    const revoking = revocations.revoke(() => end)
    await harm.catch((error: Error) => { this.#broken.push(`the fault: ${error.message}`) })
    await this.#broker.whole?.().catch((error: Error) => { this.#broken.push(`the broker: ${error.message}`) })
    const over = performance.now()
    end = over + SETTLE

    clearInterval(moving)
    for (const sender of senders) sender.stop()
    await Promise.all([this.#rest(), guests.rest(), this.#whenBack()])
    // What comes of a message comes before the marks, unless nobody knows what came of it.
    await Promise.race([Promise.all(talking), sleep(SENT)])
    for (const sender of senders) sender.giveUp()
    await Promise.all(talking)
    const [ghosts] = await Promise.all([
      guests.ghosts(SETTLE, fault.keepsSeats),
      this.#settle(),
      revoking,
      this.#calm(over, seats)
    ])
    const stuck = fault.keepsSeats === true ? 0 : await seats.stuck(GIVEN_BACK + this.#broker.timeout)
    await Promise.all(this.#clients.map((client) => client.stop()))
    this.#broken.push(...this.#nodes.flatMap(({ crash }) => crash ?? []))
    const journal = this.#nodes.flatMap(({ name }) => readJournal(join(this.#directory, name)))
    const fates = new Map<string, Fate>(senders.flatMap((sender) => [...sender.fates]))
    const { verdict, counts } = judge({ clients: this.#clients, journal, fates })
    return {
      ...verdict,
      counts,
      revocation: revocations.latency(fault.isBlink === true ? 0 : over),
      over: seats.over,
      stuck,
      alone: journal.flatMap((line) => line.is === 'alone' && line.key.includes(BOOTH) ? line.waited : []),
      lasted: over - began,
      flaps: guests.flaps,
      ghosts,
      broken: this.#broken,
      seconds: (performance.now() - start) / 1_000
    }
  }

  async #open (): Promise<void> {
    const { adapter, fault } = this.#options
    this.#directory = await mkdtemp(join(tmpdir(), 'story-'))
    this.#t.teardown(() => rm(this.#directory, { recursive: true, force: true }))
    const program = await bundleNode(this.#directory)
    this.#broker = adapter.startsWith('nats')
      ? await startNatsBroker(this.#t, adapter)
      : await startRedisBroker(this.#t, adapter, fault.needs ?? {})
    for (let index = 0; index < NODES; index++) this.#ways.push(await this.#broker.way())
    const start = async (way: Way, index: number): Promise<FleetNode> => {
      const name = `n${index}`
      const isOff = fault.clock !== undefined && index === NODES - 1
      return await FleetNode.start(this.#t, program, {
        name,
        journal: join(this.#directory, name),
        adapter: way.adapter,
        lease: fault.lease ?? 60_000
      }, isOff ? clockOff(fault.clock) : {})
    }
    // The first makes the streams and buckets, which takes seconds in a cluster of NATS when three do it at once.
    const isSlow = adapter === 'nats-cluster'
    if (isSlow) this.#nodes.push(await start(this.#ways[0]!, 0))
    const others = this.#ways.slice(this.#nodes.length)
    const before = this.#nodes.length
    this.#nodes.push(...await Promise.all(others.map((way, index) => start(way, before + index))))
  }

  #enter (): void {
    for (let index = 0; index < CLIENTS; index++) {
      const user = `u${index}`
      const client = new Client({
        user,
        token: this.#token(user),
        transport: TRANSPORTS[index % TRANSPORTS.length]!,
        rooms: [FEEDS[index % FEEDS.length]!, FEEDS[(index + 1) % FEEDS.length]!],
        nodes: () => this.#nodes,
        random: this.#random
      })
      this.#clients.push(client)
      client.start()
    }
    this.#t.teardown(() => Promise.all(this.#clients.map((client) => client.stop())))
  }

  get #alive (): FleetNode[] { return this.#nodes.filter(({ isAlive }) => isAlive) }

  async #publish (): Promise<void> {
    const { pad = 0 } = this.#options.fault
    await Promise.all(this.#alive.map((node) => node.call('publish', { rooms: FEEDS, every: EVERY, pad })))
  }

  async #rest (): Promise<void> {
    await Promise.all(this.#alive.map((node) => node.call('rest')))
  }

  /** Not a reason to end: what did not happen is part of the result. */
  async #attempt (what: string, condition: () => boolean, late: () => readonly string[]): Promise<void> {
    await until(what, condition, SETTLE).catch(() => {
      const names = late()
      const shown = names.slice(0, 4).join('; ')
      this.#broken.push(`not within ${SETTLE / 1_000} s: ${what}; ${names.length} late: ${shown}`)
    })
  }

  get #out (): string[] { return this.#clients.filter(({ isIn }) => !isIn).map(({ shown }) => shown) }

  async #whenBack (): Promise<void> {
    await this.#attempt('everybody is in again', () => this.#clients.every(({ isIn }) => isIn), () => this.#out)
  }

  /**
   * Each node publishes into each room, and everybody hears it: what was accepted before has come by then, or never
   * will. Who is told only now of what was lost is behind the first of these, and hears the next.
   */
  async #settle (): Promise<void> {
    const end = performance.now() + SETTLE
    for (let mark = 1; ; mark++) {
      await Promise.all(this.#alive.map(async (node) => {
        await node.call('mark', FEEDS, mark)
          .catch((error: Error) => { this.#broken.push(`${node.name}: ${error.message}`) })
      }))
      const deaf = (): string[] => this.#clients.flatMap((client) => this.#deaf(client, mark))
      const isHeard = await until('everybody has heard', () => deaf().length === 0, ROUND).catch(() => false)
      if (isHeard && mark > 1) break
      if (performance.now() < end) continue
      const late = deaf()
      const shown = late.slice(0, 4).join('; ')
      this.#broken.push(`not within ${SETTLE / 1_000} s: everybody hears everybody; ${late.length} late: ${shown}`)
      break
    }
    await sleep(200)
  }

  /** Nodes of which a client has not heard the mark, or does not show the value. */
  #deaf (client: Client, mark: number): string[] {
    return [...client.record.rooms].flatMap(([room, entries]) => {
      const heard = new Set(entries.flatMap((entry) => entry.is === 'event' ? [entry.id.split(':')[0]] : []))
      const levels = client.record.levels.get(room)
      const isHeard = (name: string): boolean =>
        heard.has(`mark-${mark}-${name}`) && levels?.get(`${name}.mark`) === mark
      return this.#alive.filter(({ name }) => !isHeard(name)).map(({ name }) => {
        return `${client.shown}: not of ${name} in ${room}, last ${JSON.stringify(entries.slice(-4))}`
      })
    })
  }

  /** Connections that were let in while the broker was away have left by then, and the limit holds again. */
  async #calm (over: number, seats: Seats): Promise<void> {
    await sleep(Math.max(0, over + this.#broker.timeout + CALM - performance.now()))
    seats.isCounted = true
    await sleep(500)
    await seats.stop()
  }
}
