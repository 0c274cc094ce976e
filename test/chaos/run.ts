import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import { WebSocket } from 'ws'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { connect, type Client } from '../../lib/client/index.js'
import realtime, { defineRoom } from '../../lib/index.js'
import { FaultProxy } from '../helpers/fault-proxy.js'
import { freePort } from '../helpers/servers.js'
import { Book, type Result } from './book.js'
import { harmLink, type LinkFaults } from './harm.js'
import { randomBy } from '../helpers/random.js'

export interface ChaosOptions {
  readonly seconds: number
  /** events in each room that are to be out before the faults end, on a machine that is slow too; 1 by default */
  readonly events?: number
  readonly clients: number
  /** the same seed draws the same faults, though not at the same points of the traffic */
  readonly seed: number
  /** made anew for each life of the server; without one the server lives through the run, for its memory would not */
  readonly adapter?: (() => Adapter) | undefined
  readonly log: (line: string) => void
}

export interface Faults extends LinkFaults { restarts: number }

const ROOMS = 10
const TRANSPORTS = ['websocket', 'sse', 'polling'] as const
/** Milliseconds that all may take to catch up when the faults are over. */
const SETTLE = 60_000

const room = defineRoom('chaos/:id', {
  messages: {
    say: {
      data: Type.Object({ client: Type.String(), n: Type.Integer() }),
      reply: Type.Object({ n: Type.Integer() })
    }
  },
  events: { tick: Type.Object({ n: Type.Integer() }) }
})

/**
 * Clients on all transports send and listen while their links are cut, stalled and killed and the server is restarted.
 * When the faults are over, everything that the server accepted must have been heard by everybody, once and in order.
 */
export async function runChaos (
  { seconds, events = 1, clients: size, seed, adapter, log }: ChaosOptions
): Promise<Result & { readonly faults: Faults, readonly isSettled: boolean }> {
  const book = new Book()
  const draw = randomBy(seed)
  const faults: Faults = { cuts: 0, stalls: 0, dead: 0, restarts: 0 }
  const port = await freePort()

  const boot = async (): Promise<FastifyInstance> => {
    const app = Fastify({ forceCloseConnections: true })
    await app.register(realtime, {
      jwt: { secret: 'chaos' },
      ...(adapter && { adapter: adapter() }),
      heartbeat: 1_000,
      drain: { timeout: 1_000 },
      limits: { rate: { messages: 1_000, burst: 1_000 }, user: { connections: 50, then: 'reject' } },
      capacity: 10_000
    })
    app.room(room, {
      history: { size: 10_000 },
      on: {
        say: ({ data }) => {
          book.applied(data.client, data.n)
          return { n: data.n }
        }
      }
    })
    await app.listen({ port, host: '127.0.0.1' })
    return app
  }

  let app = await boot()
  const proxy = new FaultProxy(port)
  const url = `http://127.0.0.1:${await proxy.listen()}/ws`
  const name = (index: number): string => `c${index}`
  const clients: Client[] = []
  const joined: Array<Promise<unknown>> = []
  const sends: Array<(client: number) => void> = []
  for (let index = 0; index < size; index++) {
    const client = connect(url, {
      token: () => app.jwt.sign({ sub: name(index) }, { expiresIn: 3_600 }),
      transports: [TRANSPORTS[index % TRANSPORTS.length]!],
      timeout: 2_000,
      queue: { age: SETTLE * 2, messages: 100_000, bytes: 100_000_000 },
      WebSocket
    })
    clients.push(client)
    client.on('gap', ({ message }) => { log(`gap told to ${name(index)}: ${message}`) })
    const own = [index % ROOMS, (index * 7 + 3) % ROOMS].filter((id, at, all) => all.indexOf(id) === at)
    const [first] = own.map((id) => {
      const member = client.join(room.at({ id: String(id) }))
      book.member(name(index), String(id))
      member.on('tick', ({ data }) => { book.heard(name(index), String(id), data.n) })
      joined.push(member.joined)
      return member
    })
    sends.push(() => {
      const n = book.sent(name(index))
      first!.send('say', {
        client: name(index),
        n
      }).then((reply) => {
        book.acked(name(index), reply.n)
      }, (error) => { book.rejected(`${name(index)} ${n}: ${String(error)}`) })
    })
  }
  await Promise.all(joined)
  log(`${size} clients are in ${ROOMS} rooms`)

  const over = new AbortController()
  const counts = new Array<number>(ROOMS).fill(0)
  const publish = async (): Promise<void> => {
    while (!over.signal.aborted) {
      for (let id = 0; id < ROOMS; id++) {
        const n = counts[id]! + 1
        // What a closing server refuses was not accepted; the same number is tried again under its key.
        try {
          await app.rooms.broadcast(room.at({ id: String(id) }), 'tick', { n }, { idempotencyKey: `${id}:${n}` })
          counts[id] = n
          book.published(String(id), n)
        } catch { /* tried again */ }
      }
      await sleep(20)
    }
  }
  const talk = async (): Promise<void> => {
    for (let index = 0; !over.signal.aborted; index = (index + 1) % size) {
      sends[index]!(index)
      await sleep(1_000 / size / 5)
    }
  }
  const harm = async (): Promise<void> => {
    const end = Date.now() + seconds * 1_000
    let restartAt = adapter === undefined ? Infinity : Date.now() + Math.min(10_000, seconds * 500)
    while (Date.now() < end || Math.min(...counts) < events) {
      await sleep(draw() * 100)
      const kind = draw()
      if (Date.now() > restartAt) {
        restartAt = Date.now() + 15_000
        faults.restarts++
        await app.close()
        app = await boot()
      } else harmLink(proxy, draw, kind, faults)
    }
    over.abort()
  }
  await Promise.all([publish(), talk(), harm()])
  log(`the faults are over: ${JSON.stringify(faults)}`)
  const deadline = Date.now() + SETTLE
  while (!book.isSettled && Date.now() < deadline) await sleep(50)
  const { isSettled } = book
  for (const client of clients) client.close()
  await proxy.close()
  await app.close()
  return { ...book.result, faults, isSettled }
}
