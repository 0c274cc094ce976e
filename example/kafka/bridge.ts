import { Kafka, logLevel } from 'kafkajs'
import { createPublisher } from 'fastify-realtime'
import { bridge } from 'fastify-realtime/bridge'
import { redis } from 'fastify-realtime/redis'
import { orders } from '../bridges/rooms.js'
import { toChange } from './record.js'

const stop = new AbortController()
const publisher = await createPublisher({ adapter: redis({ url: process.env.REDIS_URL! }), rooms: [orders] })
const kafka = new Kafka({ brokers: process.env.KAFKA_BROKERS!.split(','), logLevel: logLevel.WARN })
const consumer = kafka.consumer({
  groupId: 'realtime',
  // Until the group notices that a consumer was killed; brokers allow no less.
  sessionTimeout: 6_000,
  heartbeatInterval: 500,
  // It tells the group that it lives between two fetches, and no fetch may wait for longer than the session.
  maxWaitTimeInMs: 500
})
await consumer.connect()
await consumer.subscribe({ topics: ['orders'], fromBeginning: true })
await consumer.run({
  // A record is committed when its broadcast was accepted, not when the function has returned.
  eachBatchAutoResolve: false,
  async eachBatch ({ batch, resolveOffset, uncommittedOffsets, commitOffsetsIfNecessary, heartbeat }) {
    const { topic, partition } = batch
    const records = batch.messages.map(({ offset, key, value }) => ({ topic, partition, offset, key, value }))
    await bridge(publisher, records, toChange, {
      signal: stop.signal,
      async commit ({ offset }, more) {
        resolveOffset(offset)
        if (more) return
        await commitOffsetsIfNecessary(uncommittedOffsets())
        await heartbeat()
      },
      // In earnest: to a topic of its own.
      onRefused ({ offset }, error) { console.error(`orders ${partition} ${offset}: ${String(error)}`) }
    })
  }
})

async function end (): Promise<void> {
  stop.abort()
  await consumer.disconnect()
  await publisher.close()
  process.exit()
}
for (const signal of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.on(signal, () => { void end() })
