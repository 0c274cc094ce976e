import t from 'tap'
import type { HistoryQuery } from '../../../lib/adapters/adapter.js'
import { encodePayload } from '../../../lib/adapters/broker/payload.js'
import { pageOf } from '../../../lib/adapters/broker/tail.js'
import { reliable, said, textOf } from '../../../lib/adapters/contract/host.js'
import type { NatsClock } from '../../../lib/adapters/nats/clock.js'
import type { NatsLink } from '../../../lib/adapters/nats/link.js'
import type { NatsLives } from '../../../lib/adapters/nats/lives.js'
import { NatsStreams } from '../../../lib/adapters/nats/streams.js'

const EPOCH = 'epoch001'
const SIZE = 20
const settings = { ...reliable, history: { size: SIZE, ttl: 300_000 } }

type Question = 'info' | 'first' | 'newest' | 'message'
interface Stored { readonly subject: string, readonly seq: number, readonly time: Date, readonly data: Buffer }
interface Query { readonly seq?: number, readonly last_by_subj?: string }

/** Servers of a cluster that keep one stream. */
class Servers {
  messages: Stored[] = []
  last = 0
  leader = 'n1'
  readonly asked: Question[] = []
  /** Called before each answer; what it returns is answered by a server that had only so much. */
  meanwhile: (question: Question, count: number) => number | undefined = () => undefined
  readonly streams: NatsStreams
  readonly #subject: string

  constructor () {
    const ask = async (): Promise<object> => {
      const upTo = this.#begin('info')
      const held = this.messages.filter(({ seq }) => seq <= upTo)
      const subjects = held.length === 0 ? {} : { [this.#subject]: held.length }
      const state = { first_seq: this.messages[0]?.seq ?? this.last + 1, last_seq: Math.min(upTo, this.last), subjects }
      return {
        info: { config: { name: 'kept' }, state, cluster: { leader: this.leader } },
        life: { epoch: EPOCH, before: [] }
      }
    }
    const link = {
      isClustered: true,
      attempt: async (question: () => Promise<unknown>) => await question(),
      jsm: { streams: { getMessage: async (_stream: string, query: Query) => this.#getMessage(query) } }
    }
    this.streams = new NatsStreams({
      link: link as unknown as NatsLink,
      lives: {
        settle: async () => undefined,
        look: ask,
        open: async () => ({ life: { epoch: EPOCH, before: [] } })
      } as unknown as NatsLives,
      clock: { now: () => Date.now() } as NatsClock,
      prefix: 'realtime',
      idempotency: 120_000
    })
    this.#subject = this.streams.subject('chat/1', settings)
  }

  #begin (question: Question): number {
    this.asked.push(question)
    return this.meanwhile(question, this.asked.filter((each) => each === question).length) ?? Number.POSITIVE_INFINITY
  }

  #getMessage ({ seq: from = 0, last_by_subj: subject }: Query): Stored | null {
    const upTo = this.#begin(subject === undefined ? 'message' : 'newest')
    const held = this.messages.filter(({ seq }) => seq <= upTo)
    return (subject === undefined ? held.find(({ seq }) => seq >= from) : held.at(-1)) ?? null
  }

  /** Accepts events until the newest has this number. */
  accept (upTo: number): void {
    while (this.last < upTo) {
      const seq = ++this.last
      const data = Buffer.from(encodePayload(`other-${seq}@${EPOCH}`, said(`${seq}`)))
      this.messages.push({ subject: this.#subject, seq, time: new Date(), data })
      if (this.messages.length > SIZE + 1) this.messages.shift()
    }
  }

  async page (query: HistoryQuery): Promise<{ resumed: boolean, texts: string[], top: number, floor: number }> {
    const { range, last } = await this.streams.read('chat/1', settings, query)
    const { resumed, events, top, floor } = pageOf({ ...range, top: last }, query)
    return { resumed, texts: events.map(textOf), top: top.offset, floor: floor.offset }
  }
}

const since = (offset: number): HistoryQuery => ({ since: { epoch: EPOCH, offset }, limit: 100 })
const numbers = (from: number, to: number): string[] => {
  return Array.from({ length: to - from + 1 }, (_, index) => `${from + index}`)
}

t.test('who asks for what is removed while it is read is not resumed over it', async (t) => {
  const servers = new Servers()
  servers.accept(21)
  servers.meanwhile = (question, count) => {
    if (question === 'message' && count === 2) servers.accept(31)
    return undefined
  }
  const { resumed, texts, floor } = await servers.page(since(5))
  t.same([resumed, texts, floor], [false, [], 11])
})

t.test('who asks for what is still there afterwards is resumed, with what came meanwhile', async (t) => {
  const servers = new Servers()
  servers.accept(21)
  servers.meanwhile = (question, count) => {
    if (question === 'message' && count === 1) servers.accept(24)
    return undefined
  }
  t.same(await servers.page(since(10)), { resumed: true, texts: numbers(11, 24), top: 24, floor: 10 })
})

t.test('of the newest events the first that is shown is behind all that was removed meanwhile', async (t) => {
  const servers = new Servers()
  servers.accept(21)
  servers.meanwhile = (question) => {
    if (question === 'message' && servers.last < 40) servers.accept(servers.last + 1)
    return undefined
  }
  const { texts, floor } = await servers.page({ limit: 100 })
  t.equal(Number(texts[0]), floor + 1)
  t.same(texts, numbers(Number(texts[0]), Number(texts.at(-1))), 'there is no hole')
})

for (const [what, known] of [['some of the events', 15], ['none of the events', 10]] as const) {
  t.test(`where a former leader answers that has ${what} asked for, they are read again`, async (t) => {
    const servers = new Servers()
    servers.accept(20)
    let isFormer = true
    servers.meanwhile = (question, count) => {
      if (question === 'info' && count === 2) isFormer = false
      return question === 'message' && isFormer ? known : undefined
    }
    t.same(await servers.page(since(10)), { resumed: true, texts: numbers(11, 20), top: 20, floor: 10 })
  })
}

t.test('what was read while the lead went to another server is read again', async (t) => {
  const servers = new Servers()
  servers.accept(20)
  servers.meanwhile = (question, count) => {
    if (question === 'info' && count === 2) servers.leader = 'n2'
    return undefined
  }
  t.same((await servers.page(since(10))).texts, numbers(11, 20))
  t.equal(servers.asked.filter((question) => question === 'info').length, 4)
})

t.test('where servers go on contradicting each other, the history cannot be read for now', async (t) => {
  const servers = new Servers()
  servers.accept(20)
  servers.meanwhile = (question) => question === 'message' ? 15 : undefined
  await t.rejects(servers.page(since(10)), { code: 'unavailable' })
})

t.test('who has everything is told so by one answer of the server', async (t) => {
  const servers = new Servers()
  servers.accept(20)
  t.same(await servers.page(since(20)), { resumed: true, texts: [], top: 20, floor: 20 })
  t.same(servers.asked, ['info'])
})

t.test('who asks where the stream stands is told so without an event being read', async (t) => {
  const servers = new Servers()
  servers.accept(20)
  t.same(await servers.page({ limit: 0 }), { resumed: false, texts: [], top: 20, floor: 0 })
  t.same(servers.asked, ['info', 'info', 'newest'])
})
