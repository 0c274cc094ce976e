import type { AddressInfo, Socket } from 'node:net'
import { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import { WebSocket } from 'ws'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { connect, type Client } from '../../lib/client/index.js'
import realtime, { defineRoom } from '../../lib/index.js'
import {
  API_KEY, attackByBytes, attackByFrames, attackByRequests, STATS_TOKEN, type Target
} from './attacks.js'
import { attackByBus } from './bus.js'
import { Random } from '../helpers/random.js'
import { collect } from '../helpers/garbage.js'

export interface FuzzOptions {
  readonly seconds: number
  /** the same seed draws the same bytes, though not at the same points of the traffic */
  readonly seed: number
  /** a Redis server, whose channels are attacked as well */
  readonly redis?: string | undefined
  readonly log: (line: string) => void
}

export interface FuzzResult {
  /** what was sent, by kind */
  readonly sent: Readonly<Record<string, number>>
  /** exceptions and rejections that nobody caught, and log lines of errors: what a peer does must be none of these */
  readonly faults: readonly string[]
  /** what went wrong with the well-behaved peers */
  readonly harmed: readonly string[]
  readonly acked: number
  readonly heard: number
  /** milliseconds of the slowest message of a well-behaved peer */
  readonly slowest: number
  /** sockets of the server when all have left */
  readonly sockets: number
  readonly connections: number
  readonly ledger: Readonly<Record<string, number>>
  /** bytes of the heap after the first second, and after the last attack has left */
  readonly heap: readonly [number, number]
  readonly handles: readonly [number, number]
}

const HONEST = ['websocket', 'sse', 'polling'] as const
const ATTACKS = [attackByFrames, attackByBytes, attackByRequests] as const
/** of each kind at a time */
const WORKERS = 3
/** Milliseconds that what was attacked may take to come to rest. */
const REST = 30_000

const attacked = defineRoom('attack/:id', {
  messages: {
    say: {
      data: Type.Object({
        text: Type.String({ maxLength: 1_000 }),
        tags: Type.Array(Type.String(), { maxItems: 20 }),
        to: Type.Optional(Type.Object({ name: Type.String() }))
      }),
      reply: Type.Object({ id: Type.String() })
    },
    type: Type.Object({})
  },
  events: {
    said: Type.Object({ text: Type.String() }),
    typing: { data: Type.Object({ by: Type.String() }), delivery: 'volatile' },
    score: { data: Type.Object({ team: Type.String() }), delivery: 'latest', key: 'team' }
  },
  member: Type.Object({ name: Type.String() })
})
const honest = defineRoom('honest/:id', {
  messages: { say: { data: Type.Object({ n: Type.Integer() }), reply: Type.Object({ n: Type.Integer() }) } },
  events: { tick: Type.Object({ n: Type.Integer() }) }
})

function handles (): number {
  return process.getActiveResourcesInfo().filter((name) => name !== 'Timeout' && name !== 'Immediate').length
}

async function serve ({ redis: url }: FuzzOptions, faults: string[]): Promise<FastifyInstance> {
  const stream = new Writable({
    write (chunk, _encoding, done) {
      const line = JSON.parse(String(chunk)) as { level: number, msg?: string, err?: { stack?: string } }
      if (line.level >= 50) faults.push(`logged: ${line.msg ?? ''} ${line.err?.stack ?? ''}`)
      done()
    }
  })
  const app = Fastify({ logger: { level: 'warn', stream } })
  await app.register(realtime, {
    jwt: { secret: 'a fuzz' },
    ...(url === undefined ? {} : { adapter: redis({ url }) }),
    capacity: 2_000,
    api: {
      keys: [{ key: API_KEY, name: 'attacker', rooms: ['attack/*'], may: ['publish', 'read', 'members', 'revoke'] }],
      authorize: ({ user }) => user?.startsWith('mallory') !== false
    },
    stats: { token: STATS_TOKEN, actions: true },
    presence: { grace: 500 },
    timeouts: { upgrade: 2_000, close: 500 },
    drain: { timeout: 2_000 }
  })
  app.room(attacked, {
    presence: ({ userId }) => ({ name: userId }),
    on: {
      async say ({ data, room, messageId }) {
        await room.broadcast('said', { text: data.text })
        await room.broadcast('score', { team: data.text.slice(0, 20) })
        return { id: messageId ?? 'none' }
      },
      async type ({ room, userId, sender }) { await room.broadcast('typing', { by: userId }, { except: sender }) }
    }
  })
  app.room(honest, { history: { size: 10_000 }, on: { say: ({ data }) => ({ n: data.n }) } })
  app.get('/plain', async () => 'plain')
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

interface Peer {
  readonly client: Client
  readonly seen: () => number
  readonly acked: () => number
  readonly slowest: () => number
  readonly step: (n: number) => Promise<void>
}

/** A client that sends one message after the other and hears a sequence; what it misses is harm. */
async function behave (app: FastifyInstance, port: number, index: number, harmed: string[]): Promise<Peer> {
  const user = `honest-${index}`
  const transport = HONEST[index % HONEST.length]!
  const client = connect(`http://127.0.0.1:${port}/ws`, {
    token: () => app.jwt.sign({ sub: user }, { expiresIn: 3_600 }),
    transports: [transport],
    WebSocket
  })
  let seen = 0
  let acked = 0
  let slowest = 0
  client.on('error', (error) => { harmed.push(`${user} on ${transport} was told ${error.code}: ${error.message}`) })
  client.on('gap', ({ message }) => { harmed.push(`${user} on ${transport} was told of a gap: ${message}`) })
  const room = client.join(honest.at({ id: '1' }))
  await room.joined
  room.on('tick', ({ data }) => {
    if (data.n !== seen + 1) harmed.push(`${user} on ${transport} heard ${data.n} after ${seen}`)
    seen = data.n
  })
  return {
    client,
    seen: () => seen,
    acked: () => acked,
    slowest: () => slowest,
    step: async (n) => {
      const start = performance.now()
      try {
        const reply = await room.send('say', { n })
        if (reply.n !== n) harmed.push(`${user} on ${transport} was answered ${reply.n} for ${n}`)
        acked++
        slowest = Math.max(slowest, performance.now() - start)
      } catch (error) {
        harmed.push(`${user} on ${transport} could not send ${n}: ${String(error)}`)
      }
    }
  }
}

/**
 * Attacks a server by frames, raw bytes, requests and (with Redis) broker messages while well-behaved peers go on
 * beside. Afterwards everything that was attacked must be at rest: no socket, no connection, nothing queued, and a
 * ledger that adds up.
 */
export async function runFuzz (options: FuzzOptions): Promise<FuzzResult> {
  const { seconds, seed, log } = options
  const faults: string[] = []
  const harmed: string[] = []
  const sent: Record<string, number> = {}
  const onFault = (error: unknown): void => {
    faults.push(error instanceof Error ? error.stack ?? error.message : String(error))
  }
  process.on('uncaughtException', onFault)
  process.on('unhandledRejection', onFault)
  const app = await serve(options, faults)
  const { port } = app.server.address() as AddressInfo
  const open = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    open.add(socket)
    if (open.size % 1_000 === 0) for (const each of open) if (each.destroyed) open.delete(each)
  })
  // A client's pool may have dialled for a request that was given up: nothing ever comes on such a socket.
  const countSockets = (): number => [...open].filter(({ destroyed, bytesRead }) => !destroyed && bytesRead > 0).length
  const tokens = new Map<string, string>()
  let isOver = false
  const target: Target = {
    port,
    token: (user, role) => {
      const known = tokens.get(user) ?? app.jwt.sign({ sub: user, role }, { expiresIn: 86_400 })
      tokens.set(user, known)
      return known
    },
    isOver: () => isOver,
    count: (kind) => { sent[kind] = (sent[kind] ?? 0) + 1 }
  }
  const peers = await Promise.all(Array.from(
    { length: HONEST.length },
    (_value, index) => behave(app, port, index, harmed)
  ))
  let ticks = 0
  const live = async (): Promise<void> => {
    while (!target.isOver()) {
      await app.rooms.broadcast('honest/1', 'tick', { n: ticks + 1 })
      ticks++
      await Promise.all(peers.map(async ({ step }) => { await step(ticks) }))
      await delay(20)
    }
  }
  const workers = ATTACKS.flatMap((attack, kind) => Array.from(
    { length: WORKERS },
    (_value, index) => attack(new Random(seed + kind * 101 + index * 7), target)
  ))
  if (options.redis !== undefined) workers.push(attackByBus(new Random(seed + 997), options.redis, target))
  const living = live()
  await delay(Math.min(1_000, seconds * 250))
  collect()
  const heapBefore = process.memoryUsage().heapUsed
  const handlesBefore = handles()
  await delay(seconds * 1_000 - Math.min(1_000, seconds * 250))
  isOver = true
  await Promise.all(workers)
  await living
  log(`the attacks are over: ${JSON.stringify(sent)}`)
  const rest = Date.now() + REST
  const isBehind = (): boolean => peers.some(({ seen }) => seen() < ticks)
  while (isBehind() && Date.now() < rest) await delay(20)
  for (const [index, { seen }] of peers.entries()) {
    if (seen() < ticks) harmed.push(`honest-${index} has heard ${seen()} of ${ticks}`)
  }
  for (const { client } of peers) client.close()
  const stats = async (): Promise<{
    connections: { total: number }
    ledger: Record<string, number>
  }> => await app.rooms.stats() as never
  // Sockets that a peer keeps for its next request are no leak.
  app.server.closeIdleConnections()
  let now = await stats()
  let sockets = countSockets()
  while ((now.connections.total > 0 || sockets > 0 || now.ledger.queued! > 0) && Date.now() < rest) {
    await delay(50)
    app.server.closeIdleConnections()
    now = await stats()
    sockets = countSockets()
  }
  collect()
  const heapAfter = process.memoryUsage().heapUsed
  const handlesAfter = handles()
  await app.close()
  process.off('uncaughtException', onFault)
  process.off('unhandledRejection', onFault)
  return {
    sent,
    faults,
    harmed,
    acked: peers.reduce((sum, { acked }) => sum + acked(), 0),
    heard: peers.reduce((sum, { seen }) => sum + seen(), 0),
    slowest: Math.round(Math.max(...peers.map(({ slowest }) => slowest()))),
    sockets,
    connections: now.connections.total,
    ledger: now.ledger,
    heap: [heapBefore, heapAfter],
    handles: [handlesBefore, handlesAfter]
  }
}
