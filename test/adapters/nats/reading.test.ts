import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { NatsLink } from '../../../lib/adapters/nats/link.js'
import { fetchAll } from '../../../lib/adapters/nats/reading.js'

t.test('a page of a cluster that is slow ends with what has been read, so that its reader goes on from there', async (t) => {
  let asked = 0
  const link = {
    isClustered: true,
    attempt: async (ask: () => Promise<unknown>) => await ask(),
    jsm: {
      streams: {
        getMessage: async (_stream: string, { seq }: { seq: number }) => {
          if (++asked === 3) await sleep(600)
          return { subject: 'room', seq, time: new Date(), data: new TextEncoder().encode(`event ${seq}`) }
        }
      }
    }
  } as unknown as NatsLink
  const part = { stream: 'kept', subject: 'room', start: 5, most: 10 }
  const { messages, isAll, isPart } = await fetchAll(link, { ...part, patience: 500 })
  t.same([messages.map(({ seq }) => seq), isAll, isPart], [[5, 6, 7], false, true])
  asked = 0
  const whole = await fetchAll(link, part)
  t.same([whole.messages.length, whole.isPart], [10, false])
})
