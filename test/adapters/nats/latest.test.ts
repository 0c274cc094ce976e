import t from 'tap'
import { encodePayload } from '../../../lib/adapters/broker/payload.js'
import { Unread } from '../../../lib/adapters/broker/unread.js'
import { dataOf, reliable, said } from '../../../lib/adapters/contract/host.js'
import type { NatsClock } from '../../../lib/adapters/nats/clock.js'
import { NatsLatest } from '../../../lib/adapters/nats/latest.js'
import type { NatsLink } from '../../../lib/adapters/nats/link.js'
import type { NatsLives } from '../../../lib/adapters/nats/lives.js'
import type { NatsState } from '../../../lib/adapters/nats/state.js'
import { NatsTexts } from '../../../lib/adapters/nats/texts.js'

const life = { epoch: 'epoch001', before: [], shift: 0 }
const value = (text: string): string => {
  return encodePayload('other-1@epoch001', said(text, { delivery: 'latest', key: 'red' }))
}

/** Servers of a cluster that keep one stream, of which the messages are of one subject. */
class Servers {
  readonly messages = [[4, value('old')], [8, value('new')]] as const
  leader = 'n1'
  last = 9
  looks = 0
  /** The newest number that the server knows which answers for messages, after so many looks. */
  knows: (looks: number) => number = () => this.last
  readonly options: {
    readonly link: NatsLink,
    readonly lives: NatsLives,
    readonly clock: NatsClock,
    readonly prefix: string,
    readonly unread: Unread
  }

  constructor () {
    const found = (): object => ({ info: { state: { last_seq: this.last }, cluster: { leader: this.leader } }, life })
    this.options = {
      link: {
        isClustered: true,
        attempt: async (ask: () => Promise<unknown>) => await ask(),
        jsm: {
          streams: {
            getMessage: async (_stream: string, { seq: from }: { seq: number }) => {
              const upTo = this.knows(this.looks)
              const next = this.messages.find(([seq]) => seq >= from && seq <= upTo)
              return next === undefined
                ? null
                : { subject: 'realtime.latest.room.red', seq: next[0], time: new Date(), data: Buffer.from(next[1]) }
            }
          }
        }
      } as unknown as NatsLink,
      lives: {
        look: async () => {
          this.looks++
          return found()
        },
        use: async (_plan: object, ask: (opened: object) => Promise<unknown>) => await ask(found())
      } as unknown as NatsLives,
      clock: { now: () => Date.now() } as NatsClock,
      prefix: 'realtime',
      unread: new Unread({ warn: () => undefined })
    }
  }

  async newest (): Promise<unknown> {
    const latest = new NatsLatest({ ...this.options, idempotency: 1_000 })
    return dataOf((await latest.read('live/1', reliable)).at(-1)!)
  }
}

t.test('the values of a room are read between two looks at its stream', async (t) => {
  const servers = new Servers()
  t.same(await servers.newest(), { text: 'new' })
  t.equal(servers.looks, 2)
})

t.test('where a former leader answers that has older values or none, they are read again', async (t) => {
  for (const known of [5, 0]) {
    const servers = new Servers()
    servers.knows = (looks) => looks === 1 ? known : servers.last
    t.same(await servers.newest(), { text: 'new' })
    t.equal(servers.looks, 4)
  }
})

t.test('values that were read while the lead went to another server are read again', async (t) => {
  const servers = new Servers()
  servers.knows = (looks) => {
    if (looks === 1) servers.leader = 'n2'
    return servers.last
  }
  t.same(await servers.newest(), { text: 'new' })
  t.equal(servers.looks, 4)
})

t.test('a value that is set while others are read does not make them be read again', async (t) => {
  const servers = new Servers()
  servers.last = 7
  servers.knows = (looks) => looks === 1 ? 7 : 8
  t.same(await servers.newest(), { text: 'old' })
  t.equal(servers.looks, 2)
})

t.test('where servers go on contradicting each other, neither values nor texts can be read for now', async (t) => {
  const servers = new Servers()
  servers.knows = (looks) => looks % 2 === 1 ? 0 : servers.last
  await t.rejects(servers.newest(), { code: 'unavailable' })
  const texts = new NatsTexts({ ...servers.options, state: {} as NatsState, tag: 'n', idempotency: 1_000 })
  await t.rejects(texts.read('live/1', { ...reliable, append: { ttl: 1_000 } as never }), { code: 'unavailable' })
  t.equal(servers.looks, 12)
})
