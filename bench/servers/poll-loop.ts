import type { AddressInfo } from 'node:net'
import fastifyJwt from '@fastify/jwt'
import type { ServerConfig } from '../shared/messages.js'
import { SECRET } from '../shared/token.js'
import { fastifyOf } from './fastify.js'
import type { PeerServer } from './peer.js'

/** Events that a room keeps for those who are between two polls. */
const KEPT = 100

interface Query { readonly room: string, readonly wait: string, readonly since?: string }

/** What a room has for those who poll. */
class PolledRoom {
  #next = 0
  readonly #events: string[] = []
  readonly #waiting = new Set<(answer: string) => void>()

  publish (event: string): void {
    this.#next++
    this.#events.push(event)
    if (this.#events.length > KEPT) this.#events.shift()
    const answer = `{"since":${this.#next},"events":[${event}]}`
    for (const tell of this.#waiting) tell(answer)
    this.#waiting.clear()
  }

  async poll (since: number | undefined, wait: number): Promise<string> {
    if (since !== this.#next) {
      const first = this.#next - this.#events.length
      const missed = since === undefined ? [] : this.#events.slice(Math.max(0, since - first))
      return `{"since":${this.#next},"events":[${missed.join(',')}]}`
    }
    return await new Promise((resolve) => {
      const tell = (answer: string): void => {
        clearTimeout(timer)
        resolve(answer)
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(tell)
        resolve(`{"since":${since},"events":[]}`)
      }, wait)
      this.#waiting.add(tell)
    })
  }
}

/** Long polls by hand on Fastify: each event serialised once, the last ones kept for who is between two polls. */
export async function start (config: ServerConfig): Promise<PeerServer> {
  const rooms = new Map<string, PolledRoom>()
  const roomOf = (name: string): PolledRoom => {
    let room = rooms.get(name)
    if (room === undefined) rooms.set(name, room = new PolledRoom())
    return room
  }
  const app = fastifyOf(config)
  await app.register(fastifyJwt, { secret: SECRET })
  app.get<{ Querystring: Query }>('/ws', {
    preValidation: async (request) => { await request.jwtVerify() }
  }, async ({ query: { room, wait, since } }, reply) => {
    const answer = await roomOf(room).poll(since === undefined ? undefined : Number(since), Number(wait))
    return await reply.type('application/json').send(answer)
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    port: (app.server.address() as AddressInfo).port,
    broadcast (room, data) { roomOf(room).publish(JSON.stringify({ type: 'said', room, data })) }
  }
}
