import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { publishBehind } from '../../../lib/adapters/nats/behind.js'
import { messageIdOf } from '../../../lib/adapters/nats/once.js'
import { NatsState } from '../../../lib/adapters/nats/state.js'
import { natsDenials } from '../../../lib/adapters/nats/stores.js'
import { stateKey } from '../../../lib/adapters/nats/tokens.js'
import { away, type NatsLink } from '../../../lib/adapters/nats/link.js'
import type { NatsClock } from '../../../lib/adapters/nats/clock.js'
import { Declined } from '../../../lib/adapters/broker/standing.js'
import { Unread } from '../../../lib/adapters/broker/unread.js'
import { Refusal } from '../../../lib/errors/refusal.js'
import { keyOf } from '../../../lib/protocol/key.js'

const BUCKET = 'realtime_state'
const KEY = 'lease.booth'

interface Message {
  readonly subject: string
  readonly seq: number
  readonly text: string
  readonly id: string | undefined
}

/** The server that leads a bucket among several: it keeps the newest message of each subject. */
class Leader {
  readonly messages: Message[] = []
  /** ids that it knows, with the number that it gave to each */
  readonly noted = new Map<string, number>()
  last = 0
  /** what it answers to a message that is published; absent where it accepts it */
  refuses: Error | undefined

  get link (): NatsLink {
    return {
      isUp: true,
      isClustered: true,
      timeout: 2_000,
      clock: performance,
      attempt: async (ask: () => Promise<unknown>) => await ask(),
      change: async (ask: () => Promise<unknown>) => await ask(),
      insist: async (_asking: string, ask: () => Promise<unknown>) => await ask(),
      bucket: async () => ({
        get: async (key: string) => {
          const found = this.newest(`$KV.${BUCKET}.${key}`)
          return found === undefined
            ? null
            : { operation: 'PUT', length: found.text.length, string: () => found.text, revision: found.seq }
        },
        create: async (key: string, text: string) => {
          return (await this.#publish(`$KV.${BUCKET}.${key}`, text, { expect: { lastSubjectSequence: 0 } })).seq
        }
      }),
      js: { publish: this.#publish.bind(this) },
      jsm: {
        streams: {
          getMessage: async (_stream: string, query: { seq?: number, last_by_subj?: string }) => {
            await sleep(1)
            const found = query.seq === undefined
              ? this.newest(query.last_by_subj!)
              : this.messages.find(({ seq }) => seq === query.seq)
            return found === undefined ? null : { ...found, header: { get: () => found.id ?? '' } }
          },
          info: async () => ({ state: { last_seq: this.last } })
        }
      }
    } as unknown as NatsLink
  }

  newest (subject: string): Message | undefined { return this.messages.find((each) => each.subject === subject) }

  async #publish (
    subject: string,
    text: string,
    { expect, msgID: id }: { expect?: { lastSubjectSequence: number }, msgID?: string } = {}
  ): Promise<{ stream: string, seq: number, duplicate: boolean }> {
    await sleep(1)
    if (this.refuses !== undefined) throw this.refuses
    const before = this.newest(subject)
    if (expect !== undefined && expect.lastSubjectSequence !== (before?.seq ?? 0)) {
      throw Object.assign(new Error('wrong last sequence'), { code: 10071 })
    }
    const known = id === undefined ? undefined : this.noted.get(id)
    if (known !== undefined) return { stream: `KV_${BUCKET}`, seq: known, duplicate: true }
    const seq = ++this.last
    if (before !== undefined) this.messages.splice(this.messages.indexOf(before), 1)
    this.messages.push({ subject, seq, text, id })
    if (id !== undefined) this.noted.set(id, seq)
    return { stream: `KV_${BUCKET}`, seq, duplicate: false }
  }
}

function stateOf ({ link }: Leader): NatsState {
  return new NatsState(link, BUCKET, { ttl: 60_000, replicas: 3, storage: 'memory' })
}

/** @returns how often the key has been counted by now */
async function count (state: NatsState): Promise<number> {
  return await state.change(KEY, (value) => {
    const next = Number(value ?? 0) + 1
    return { value: String(next), result: next }
  })
}

t.test('one value that cannot be changed keeps none from its change of the many that wait behind it', async (t) => {
  const state = stateOf(new Leader())
  const changes = Array.from({ length: 300 }, (_, index) => state.change(`a${index}`, () => {
    if (index === 1) throw new Refusal('unavailable', { cause: new Error('a newer version has written it') })
    return { value: 'changed', result: index }
  }, false))
  const results = await Promise.allSettled(changes)
  t.same(results.flatMap(({ status }, index) => (status === 'rejected' ? [index] : [])), [1])
})

for (const [seq, number] of [
  [99, 'under a number to come'],
  [7, 'under a number that is past'],
  [0, 'without a number']
] as const) {
  t.test(`a value can be changed though the leader has noted ${number} a change that was never agreed on`, async (t) => {
    const leader = new Leader()
    leader.last = 10
    const [a, b] = [stateOf(leader), stateOf(leader)]
    t.equal(await count(a), 1)
    leader.noted.set(messageIdOf(KEY, '11'), seq)
    t.equal(await count(a), 2)
    t.equal(await count(b), 3)
  })
}

t.test('of nodes that change one value at once each has its change, though the leader has noted one that is in no stream', async (t) => {
  const leader = new Leader()
  const nodes = Array.from({ length: 4 }, () => stateOf(leader))
  t.equal(await count(nodes[0]!), 1)
  for (const id of ['1', keyOf('1', '1'), keyOf('1', '2')]) leader.noted.set(messageIdOf(KEY, id), 99)
  const counts = await Promise.all(nodes.map(count))
  t.same(counts.sort(), [2, 3, 4, 5])
})

t.test('a change that is settled while its id is noted without a number is another node\'s, not one that was never agreed on', async (t) => {
  const leader = new Leader()
  const { link } = leader
  const change = { stream: `KV_${BUCKET}`, subject: `$KV.${BUCKET}.${KEY}`, key: KEY, probe: `$KV.${BUCKET}.probe` }
  const first = await publishBehind(link, { ...change, text: 'first', last: 0 })
  // Another node's change is in process: it is there once a later message is.
  leader.noted.set(messageIdOf(KEY, '1'), 0)
  const publish = link.js.publish.bind(link.js)
  Object.assign(link.js, {
    publish: async (subject: string, text: string, options: object) => {
      if (subject === change.probe) await publish(change.subject, 'other')
      return await publish(subject, text, options)
    }
  })
  t.equal(await publishBehind(link, { ...change, text: 'mine', last: first! }), undefined)
  t.equal(leader.newest(change.subject)?.text, 'other')
})

t.test('where the leader has noted too many such changes, the change is refused for now', async (t) => {
  const leader = new Leader()
  const state = stateOf(leader)
  await count(state)
  leader.noted.set(messageIdOf(KEY, '1'), 99)
  for (let id = 1; id < 20; id++) leader.noted.set(messageIdOf(KEY, keyOf('1', String(id))), 99)
  await t.rejects(count(state), { code: 'unavailable' })
})

t.test('a server that led until now says nothing by what it does not know of a value that this node has written', async (t) => {
  const leader = new Leader()
  const state = stateOf(leader)
  const leave = async (): Promise<boolean> => await state.change(KEY, (value) => {
    return value === 'ann' ? { value: '', result: true } : { result: false }
  })
  await state.change(KEY, () => ({ value: 'ann', result: undefined }))
  const newest = leader.messages.splice(0)
  await t.rejects(leave(), { code: 'unavailable' }, 'it answers that there is nothing')
  leader.messages.push(...newest)
  t.equal(await leave(), true)
  const left = leader.messages.splice(0)
  await t.rejects(state.read(KEY), { code: 'unavailable' })
  leader.messages.push(...left)
  t.equal(await state.read(KEY), undefined)
})

t.test('nor by what it does not know of a value that is too large to be remembered', async (t) => {
  const leader = new Leader()
  const state = stateOf(leader)
  const large = 'ann,'.repeat(1_000)
  await state.change(KEY, () => ({ value: large, result: undefined }))
  const newest = leader.messages.splice(0)
  const leave = async (): Promise<string | undefined> => {
    return await state.change(KEY, (value) => ({ ...(value === undefined ? {} : { value: '' }), result: value }))
  }
  await t.rejects(leave(), { code: 'unavailable' })
  leader.messages.push(...newest)
  t.equal(await leave(), large)
})

t.test('what a bucket keeps no longer is missing for no node, whoever has written it', async (t) => {
  const leader = new Leader()
  const state = new NatsState(leader.link, BUCKET, { ttl: 20, replicas: 3, storage: 'memory' })
  const claim = async (): Promise<boolean> => await state.change(KEY, (value) => {
    return value === undefined ? { value: 'ann', result: true } : { result: false }
  })
  t.equal(await claim(), true)
  await sleep(25)
  leader.messages.splice(0)
  t.equal(await claim(), true)
  await sleep(25)
  leader.messages.splice(0)
  t.equal(await state.read(KEY), undefined)
})

t.test('a bucket whose time another node makes shorter at the same moment has the longer one all the same', async (t) => {
  const { link } = new Leader()
  const ages: number[] = [5_000]
  Object.assign(link.jsm.streams, {
    info: async () => ({ config: { max_age: ages.at(-1)! * 1_000_000 } }),
    update: async (_name: string, config: { max_age: number }) => {
      ages.push(config.max_age / 1_000_000)
      if (ages.length === 2) ages.push(7_000)
    }
  })
  const state = new NatsState(link, BUCKET, { ttl: 5_000, replicas: 3, storage: 'memory' })
  state.lasts(9_000)
  t.equal(await state.read(KEY), undefined)
  t.same(ages, [5_000, 9_000, 7_000, 9_000])
  state.lasts(8_000)
  await state.read(KEY)
  t.equal(ages.length, 4, 'who needs less changes nothing')
})

const clock = { now: () => Date.now(), shared: (time: number) => time } as NatsClock
const denialsOf = (leader: Leader): ReturnType<typeof natsDenials> => {
  return natsDenials(stateOf(leader), clock, new Unread({ warn: () => undefined }), { note: async () => {} })
}

t.test('a server that is cut off from the others says of nobody that he is not denied, and still who is', async (t) => {
  const leader = new Leader()
  await denialsOf(leader).deny('user:eve', Date.now() + 60_000)
  const denials = denialsOf(leader)
  leader.refuses = away()
  await t.rejects(async () => await denials.isDenied(['user:ann']), { code: 'unavailable' })
  t.equal(await denials.isDenied(['user:ann', 'user:eve']), true)
  leader.refuses = undefined
  t.equal(await denials.isDenied(['user:ann']), false)
})

t.test('one message a second proves for all who come in that the server leads', async (t) => {
  const leader = new Leader()
  const denials = denialsOf(leader)
  const ask = async (): Promise<unknown> => await Promise.all(Array.from({ length: 100 }, async (_, index) => {
    return await denials.isDenied([`user:${index}`])
  }))
  await ask()
  await ask()
  t.equal(leader.last, 1)
  await sleep(1_010)
  await ask()
  t.equal(leader.last, 2)
})

t.test('a server that takes no message, since it is full, keeps nobody out', async (t) => {
  const leader = new Leader()
  leader.refuses = new Declined(new Error('maximum bytes exceeded'))
  t.equal(await denialsOf(leader).isDenied(['user:ann']), false)
})

t.test('whoever is denied is found, though another subject cannot be read', async (t) => {
  const denials = natsDenials(
    {
      insist: async (_asking: string, ask: () => Promise<unknown>) => await ask(),
      led: async () => {},
      read: async (key: string) => {
        if (key === stateKey('denial', 'token:t1')) throw away()
        return key === stateKey('denial', 'user:eve') ? String(Date.now() + 60_000) : undefined
      }
    } as unknown as NatsState,
    clock,
    new Unread({ warn: () => undefined }),
    { note: async () => {} }
  )
  t.equal(await denials.isDenied(['token:t1', 'user:eve']), true)
  await t.rejects(async () => await denials.isDenied(['token:t1', 'user:ann']), { code: 'unavailable' })
})
