/**
 * One node of the fleet as a process of its own: `fork(this file, [its configuration as JSON])`. It does what its
 * parent asks for.
 */
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Adapter } from '../../../lib/adapters/adapter.js'
import { nats, type NatsOptions } from '../../../lib/adapters/nats/adapter.js'
import { redis, type RedisOptions } from '../../../lib/adapters/redis/adapter.js'
import { Refusal } from '../../../lib/errors/refusal.js'
import realtime from '../../../lib/index.js'
import { Journal } from './journal.js'
import { booth, feed, hall, SEATS, SECRET } from './rooms.js'

type NatMap = Record<string, { readonly host: string, readonly port: number }>

/** What adapter a node has, in a form that passes between processes. */
export type AdapterPlan =
  | {
    readonly kind: 'redis',
    readonly options: RedisOptions,
    readonly cluster?: { readonly nodes: Array<{ host: string, port: number }>, readonly natMap: NatMap }
  }
  | { readonly kind: 'nats', readonly options: NatsOptions }

export interface NodePlan {
  readonly name: string
  /** path of the file in which it keeps what it did */
  readonly journal: string
  readonly adapter: AdapterPlan
  /** lease of a presence entry, milliseconds */
  readonly lease: number
}

export interface Publishing {
  readonly rooms: readonly string[]
  /** milliseconds between two events of a room */
  readonly every: number
  /** bytes of each event beside its name */
  readonly pad: number
}

/** What a node can be asked for. */
export interface Calls {
  /** Publishes into each room until `rest`. */
  publish (publishing: Publishing): void
  /** Resolves when nothing is under way any more. */
  rest (): Promise<void>
  /** Publishes one event and one value into each room, again and again until they are accepted. */
  mark (rooms: readonly string[], mark: number): Promise<void>
  revoke (user: string): Promise<void>
  members (room: string): Promise<readonly string[]>
}

export type Question = { readonly id: number, readonly name: keyof Calls, readonly args: readonly unknown[] }
export type Answer =
  | { readonly is: 'ready', readonly port: number }
  | { readonly is: 'answer', readonly id: number, readonly result?: unknown, readonly error?: string }

/** Milliseconds until an event of which nobody knows is asked for again. */
const AGAIN = 100

/** Publishes and writes down what it was told. */
class Publisher {
  readonly #app: FastifyInstance
  readonly #journal: Journal
  readonly #name: string
  readonly #lanes: Array<Promise<void>> = []
  #isOn = false
  #runs = 0

  constructor (app: FastifyInstance, journal: Journal, name: string) {
    this.#app = app
    this.#journal = journal
    this.#name = name
  }

  start ({ rooms, every, pad }: Publishing): void {
    this.#isOn = true
    const run = ++this.#runs
    const filler = pad > 0 ? { pad: 'x'.repeat(pad) } : {}
    for (const [
      index,
      room
    ] of rooms.entries()) this.#lanes.push(this.#lane(room, `${this.#name}.${run}.${index}`, every, filler))
  }

  async rest (): Promise<void> {
    this.#isOn = false
    await Promise.all(this.#lanes.splice(0))
  }

  async #lane (room: string, name: string, every: number, filler: object): Promise<void> {
    for (let n = 1; this.#isOn; n++) {
      await this.event(room, `${name}:${n}`, filler)
      if (n % 10 === 0) await this.level(room, name, n).catch(() => undefined)
      await sleep(every)
    }
  }

  /**
   * @returns whether it was accepted; an event of which nobody knows is asked for again under its key until somebody
   * does
   */
  async event (room: string, id: string, filler: object = {}): Promise<boolean> {
    for (let isUnknown = false; ;) {
      try {
        const { position } = await this.#app.rooms.broadcast(room, 'tick', { id, ...filler }, { idempotencyKey: id })
        this.#journal.write({ is: 'accepted', room, id, epoch: position!.epoch, offset: position!.offset })
        return true
      } catch (error) {
        isUnknown ||= error instanceof Refusal && error.outcome === 'unknown'
        if (!isUnknown) {
          this.#journal.write({ is: 'refused', room, id, why: String(error) })
          return false
        }
        await sleep(AGAIN)
      }
    }
  }

  /** @throws what the broadcast throws */
  async level (room: string, of: string, value: number): Promise<void> {
    await this.#app.rooms.broadcast(room, 'level', { of, value })
    this.#journal.write({ is: 'level', room, of, value })
  }

  /** Until it is accepted, for at most half a minute; each try is an event of its own. */
  async mark (room: string, mark: number): Promise<void> {
    for (
      let round = 1,
        end = performance.now() + 30_000; !await this.event(room, `mark-${mark}-${this.#name}:${round}`); round++
    ) {
      if (performance.now() > end) throw new Error(`nothing is accepted in ${room}`)
      await sleep(AGAIN)
    }
    for (let round = 1; round <= 100; round++) {
      const isSet = await this.level(room, `${this.#name}.mark`, mark).then(() => true, () => false)
      if (isSet) return
      await sleep(AGAIN)
    }
    throw new Error(`no value is accepted in ${room}`)
  }
}

async function adapterOf (plan: AdapterPlan): Promise<Adapter> {
  if (plan.kind === 'nats') return nats(plan.options)
  if (plan.cluster === undefined) return redis(plan.options)
  const { Cluster } = await import('ioredis')
  const { nodes, natMap } = plan.cluster
  return redis({ ...plan.options, client: new Cluster(nodes, { natMap, lazyConnect: true }) })
}

/** Notes who is let in, or not, without the broker's answer: a place counted twice is another fault than that. */
function noteAlone ({ leases }: Adapter, journal: Journal): void {
  if (leases === undefined) return
  const acquire = leases.acquire.bind(leases)
  leases.acquire = async (key, ...rest) => {
    const began = performance.now()
    try {
      return await acquire(key, ...rest)
    } catch (error) {
      journal.write({ is: 'alone', key, waited: Math.round(performance.now() - began) })
      throw error
    }
  }
}

async function serve ({ name, journal: path, adapter, lease }: NodePlan): Promise<void> {
  const app = Fastify({ logger: false, forceCloseConnections: true })
  const journal = new Journal(path)
  const own = await adapterOf(adapter)
  noteAlone(own, journal)
  await app.register(realtime, {
    jwt: { secret: SECRET },
    adapter: own,
    limits: {
      user: { connections: 50, then: 'reject' },
      rate: { messages: 10_000, burst: 10_000 },
      pending: { total: 10_000, address: 10_000 }
    },
    presence: { grace: 1_500, lease },
    capacity: 10_000
  })
  app.room(feed, {
    history: { size: 5_000, ttl: 600_000 },
    on: {
      say ({ room, userId, messageId, sender }) {
        journal.write({ is: 'effect', message: messageId!, node: name })
        // Its failure must not be the message's: that has had its effect.
        room.broadcast('said', { id: `said-${messageId!}`, by: userId }, { except: sender }).catch(() => undefined)
        return { node: name }
      }
    }
  })
  app.room(hall, { presence: ({ userId }) => ({ name: userId }) })
  app.room(booth, { capacity: SEATS, history: false })
  await app.listen({ port: 0, host: '127.0.0.1' })

  const publisher = new Publisher(app, journal, name)
  const calls: Calls = {
    publish: (publishing) => { publisher.start(publishing) },
    rest: () => publisher.rest(),
    mark: async (rooms, mark) => { await Promise.all(rooms.map((room) => publisher.mark(room, mark))) },
    revoke: async (user) => { await app.rooms.revoke({ user }) },
    members: async (room) => (await app.rooms.members(room)).map(({ userId }) => userId)
  }
  const tell = (answer: Answer): void => { process.send?.(answer) }
  process.on('message', ({ id, name: call, args }: Question) => {
    Promise.resolve().then(() => (calls[call] as (...args: readonly unknown[]) => unknown)(...args)).then(
      (result) => { tell({ is: 'answer', id, result }) },
      (error: unknown) => { tell({ is: 'answer', id, error: String(error) }) }
    )
  })
  process.on('disconnect', () => process.exit(0))
  tell({ is: 'ready', port: (app.server.address() as AddressInfo).port })
}

const [, , plan] = process.argv
if (process.send !== undefined && plan?.startsWith('{') === true) await serve(JSON.parse(plan) as NodePlan)
