import type { BridgedEvent } from 'fastify-realtime/bridge'
import { orders } from '../bridges/rooms.js'

/** What a bridge reads of a record. */
export interface KafkaRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/** The key of a record is the order, so that all records of an order are in one partition, in order. */
export function toChange (
  { topic, partition, offset, key, value }: KafkaRecord
): BridgedEvent<ReturnType<typeof orders.at>, 'changed'> | undefined {
  // A record without a value deletes its key.
  if (key === null || value === null) return undefined
  return {
    room: orders.at({ id: key.toString() }),
    event: 'changed',
    data: JSON.parse(value.toString()) as { status: string, step: number },
    idempotencyKey: `${topic}/${partition}/${offset}`
  }
}
