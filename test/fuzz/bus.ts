import { Redis } from 'ioredis'
import { setTimeout as delay } from 'node:timers/promises'
import { mutateBytes } from './mutate.js'
import type { Random } from '../helpers/random.js'
import type { Target } from './attacks.js'

/**
 * Messages that no node has sent, on the channels of rooms that are attacked and on that of control: changed copies of
 * what was heard there. Rooms of honest peers are left alone: who can write well-formed events to the broker can forge
 * them.
 */
export async function attackByBus (random: Random, url: string, { isOver, count }: Target): Promise<void> {
  const publisher = new Redis(url)
  const subscriber = new Redis(url)
  for (const client of [publisher, subscriber]) client.on('error', () => undefined)
  const heard = new Map<string, Buffer[]>()
  subscriber.on('smessageBuffer', (channel: Buffer, message: Buffer) => {
    const kept = heard.get(String(channel)) ?? []
    if (kept.push(message) > 200) kept.shift()
    heard.set(String(channel), kept)
  })
  try {
    while (!isOver()) {
      const all = await publisher.call('PUBSUB', 'SHARDCHANNELS') as string[]
      for (const channel of all) {
        if (heard.has(channel) || /honest|@/.test(channel)) continue
        heard.set(channel, [])
        await subscriber.ssubscribe(channel)
      }
      for (let messages = 0; messages < 50; messages++) {
        const channel = random.pick([...heard.keys()])
        if (channel === undefined) break
        const known = heard.get(channel)!
        const message = known.length === 0 || random.chance(0.1)
          ? random.bytes(random.int(60))
          : mutateBytes(random, random.pick(known))
        await publisher.call('SPUBLISH', channel, message)
        count('bus messages')
      }
      await delay(10)
    }
  } finally {
    publisher.disconnect()
    subscriber.disconnect()
  }
}
