import t from 'tap'
import { reliable } from '../../../lib/adapters/contract/host.js'
import { Unread } from '../../../lib/adapters/broker/unread.js'
import type { Keys } from '../../../lib/adapters/redis/keys.js'
import type { KnownStreams } from '../../../lib/adapters/redis/known.js'
import type { RedisLink } from '../../../lib/adapters/redis/link.js'
import { StreamReader } from '../../../lib/adapters/redis/reading.js'

t.test('a position of a former epoch is honoured soon although the clock of the server was set back', async (t) => {
  let asked = 0
  const script = async (): Promise<string[]> => {
    asked++
    return ['epoch002', '5', 'epoch001 5', '0', '1000000', '-3600000', '']
  }
  const reader = new StreamReader({
    link: { run: 'run', script } as unknown as RedisLink,
    keys: { meta: (room: string) => room, stream: (room: string) => room } as unknown as Keys,
    known: { seen: () => '', learn: () => undefined } as unknown as KnownStreams,
    unread: new Unread({ warn: () => undefined }),
    isFollowed: () => false
  })
  t.teardown(() => { reader.close() })
  const kept = setTimeout(() => { reader.close() }, 10_000)
  const range = await reader.read('chat/1', reliable, { since: { epoch: 'epoch001', offset: 5 }, limit: 10 })
  clearTimeout(kept)
  t.same([range.epoch, asked], ['epoch002', 2])
})
