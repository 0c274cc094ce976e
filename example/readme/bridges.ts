import type { Consumer } from '@nats-io/jetstream'
import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import type { EventsOfRoom } from 'fastify-realtime'
import { bridge, type BridgeStats, type BridgeTarget } from 'fastify-realtime/bridge'
import { game } from './rooms.js'

type Move = EventsOfRoom<ReturnType<typeof game.at>>['moved']
/** What a consumer of @platformatic/kafka gives. */
interface Message { topic: string, partition: number, offset: bigint, key: string, value: Move, commit: () => unknown }

export function declareBridge (app: FastifyInstance, messages: AsyncIterable<Message>): void {
  const stop = new AbortController()
  let running: Promise<unknown> | undefined
  app.addHook('onReady', async () => {
    running = bridge(app.rooms, messages, ({ topic, partition, offset, key, value }) => ({
      room: game.at({ id: key }),
      event: 'moved',
      data: value,
      idempotencyKey: `${topic}/${partition}/${offset}`            // the same when it is read again
    }), {
      signal: stop.signal,
      commit: async (message) => { await message.commit() },       // in order, behind what was accepted
      onRefused: (message, error) => { app.log.error({ err: error, offset: message.offset }, 'refused') }
    }).catch((error: unknown) => {
      app.log.fatal(error)                                         // nothing is lost: end, and be started again
      process.exitCode = 1
      process.kill(process.pid, 'SIGTERM')
    })
  })
  app.addHook('preClose', async () => {
    stop.abort()
    await running
  })
}

/** NATS: a durable consumer of a JetStream stream, with one subject for each game. */
export async function fromNats (rooms: BridgeTarget, consumer: Consumer, signal: AbortSignal): Promise<BridgeStats> {
  const messages = await consumer.consume({ max_messages: 100 })
  const stats = await bridge(rooms, messages, (message) => ({
    room: game.at({ id: message.subject.split('.')[1]! }),
    event: 'moved',
    data: message.json<Move>(),
    idempotencyKey: `${message.info.stream}/${message.seq}`
  }), { signal, commit: (message) => { message.ack() } })
  await messages.close()
  return stats
}

type Entry = [id: string, fields: string[]]

/** Redis streams: what this member of the group has read and not acknowledged, then what is new. */
async function * entriesOf (redis: Redis, stream: string, group: string): AsyncGenerator<Entry> {
  for (let from = '0'; ;) {
    const read = await redis.xreadgroup('GROUP', group, 'bridge', 'COUNT', 100, 'BLOCK', 5_000, 'STREAMS', stream, from)
    const entries = (read as Array<[string, Entry[]]> | null)?.[0]?.[1] ?? []
    yield * entries
    if (from !== '>') from = entries.at(-1)?.[0] ?? '>'
  }
}

/** Entries `XADD moves * game 42 move {"from":12,...}`. */
export async function fromRedis (rooms: BridgeTarget, redis: Redis, signal: AbortSignal): Promise<BridgeStats> {
  const reader = redis.duplicate()                                 // a read that waits holds up its whole connection
  const stats = await bridge(rooms, entriesOf(reader, 'moves', 'realtime'), ([id, [, key, , move]]) => ({
    room: game.at({ id: key! }),
    event: 'moved',
    data: JSON.parse(move!) as Move,
    idempotencyKey: `moves/${id}`
  }), { signal, commit: async ([id]) => { await redis.xack('moves', 'realtime', id) } })
  reader.disconnect()
  return stats
}
