import { readdirSync, readFileSync } from 'node:fs'
import { Kvm } from '@nats-io/kv'
import { connect } from '@nats-io/transport-node'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { matchList } from '../helpers/match-list.js'
import { missing, startNats, startRedis, until } from '../helpers/servers.js'
import { live, node, reliable, textOf, dataOf, type Node } from '../../lib/adapters/contract/host.js'
import { ANN, KINDS } from './control-messages.js'

/**
 * What nodes of former versions, and of this one, wrote to their brokers, recorded from them. A node of today that is
 * started beside them, or after them, hears and finds all of it. `record.ts` makes such a file. Times begin with these
 * seven digits and are read as of now.
 */
const FOLDER = new URL('./payloads/', import.meta.url)
const WRITTEN = '1700000'
const AHEAD = String(Math.floor(Date.now() / 1_000_000) + 1)

interface RedisKey { readonly type: string, readonly value: unknown }
interface Recorded {
  /** the control messages among them; absent: those of the first version */
  readonly controls?: readonly object[]
  readonly redis: {
    readonly messages: ReadonlyArray<{ readonly channel: string, readonly text: string }>
    readonly keys: Readonly<Record<string, RedisKey>>
  }
  readonly nats: {
    readonly messages: ReadonlyArray<{
      readonly subject: string
      readonly headers: Readonly<Record<string, string>>
      readonly text: string
    }>
    readonly keys: Readonly<Record<string, string>>
  }
}

const versions = readdirSync(FOLDER).filter((file) => file.endsWith('.json'))
const recorded = (file: string): Recorded => JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8').replaceAll(
  WRITTEN,
  AHEAD
)) as Recorded

const CONTROLS = [
  { type: 'revoke', user: 'zoe', message: 'out', until: 4_102_444_800_000 },
  { type: 'revoke', tokenId: 't1', until: 4_102_444_800_000 },
  { type: 'revoke', connection: ANN },
  { type: 'join', user: 'ann', room: 'chat/1' },
  { type: 'leave', connection: ANN, room: 'chat/1' },
  { type: 'members', ack: 'node.ack1', members: [{ connection: ANN, userId: 'ann' }] },
  { type: 'acked', ack: 'node.ack1', connection: ANN },
  { type: 'gone', ack: 'node.ack1', connection: ANN },
  { type: 'moved', user: 'ann', connection: ANN }
]

t.test('what nodes tell each other is recorded, each kind of it', async (t) => {
  const types = versions.flatMap((file) => recorded(file).controls ?? []).map((each) => (each as { type: string }).type)
  t.same(Object.keys(KINDS).filter((type) => !types.includes(type)), [], 'run test/adapters/record.ts')
})

function undecodable ({ adapter }: Node): unknown { return adapter.stats!().undecodable }

async function holds (t: Test, { presence, leases, claims, denials }: Adapter): Promise<void> {
  t.same((await presence!.snapshot('chat/1', 200)).list, [{ userId: 'ann', data: { name: 'Ann' } }], 'presence')
  t.equal(await leases!.count('user:ann'), 1, 'a slot')
  t.equal(await leases!.acquire('user:ann', 'other', 1, 1_000), false)
  t.equal((await claims!.claim('ann\nm-1', 'aGFzaA==', 1_000)).state, 'running', 'a message that is being handled')
  t.same(
    await claims!.claim('ann\nm-2', 'aGFzaA==', 1_000),
    { state: 'settled', outcome: '{"data":{"id":"7"}}' },
    'an outcome'
  )
  t.match(await claims!.take('ticket:abc'), /"userId":"ann"/, 'a ticket')
  t.equal(await denials!.isDenied(['user:zoe']), true, 'a denial')
}

/** @param isOrdered false where those that must not be lost take another way than the others */
async function heard (t: Test, own: Node, controls: readonly object[] = CONTROLS, isOrdered = true): Promise<void> {
  const { host } = own
  await until(
    'all control messages came',
    () => host.controls.length >= controls.length ||
      Promise.reject(new Error(
        `${host.controls.length} of ${controls.length}, ${JSON.stringify(host.controls.at(-1))}`
      ))
  )
  await until(
    'the value of a key came',
    () => host.events.get('chat/1')?.some(({ event }) => event?.delivery === 'latest') === true
  )
  const texts = host.controls.map(({ message }) => JSON.stringify(message))
  const expected = controls.map((each) => JSON.stringify(each))
  t.same(isOrdered ? texts : texts.sort(), isOrdered ? expected : expected.sort())
  const events = host.events.get('chat/1') ?? []
  const numbered = events.filter(({ position }) => position !== undefined)
  if (isOrdered) {
    t.same([numbered.map(textOf), numbered[1]!.event!.except], [['hi', 'hi'], { user: 'ann', connection: ANN }])
  }
  matchList(t, events.filter(({ position }) => position === undefined).map(({ event }) => event), [
    {
      delivery: 'volatile',
      except: { connection: ANN }
    }, { delivery: 'volatile', ack: 'node.ack1' }, { type: 'score', delivery: 'latest', key: 'red' }
  ])
  t.same(host.texts('live/1'), ['hi'])
  matchList(
    t,
    host.changes.get('chat/1'),
    [
      { joined: [{ userId: 'ann', data: { name: 'Ann' } }], left: [] },
      { joined: [{ userId: 'bob' }], left: [] },
      { joined: [], left: [{ userId: 'bob' }] }
    ]
  )
  t.equal(undecodable(own), 0)
}

for (const file of versions) {
  t.test(`redis: what a node of ${file} wrote is heard and found by one of today`, {
    skip: missing(
      'redis-server'
    )
  }, async (t) => {
    const { redis: { keys, messages }, controls } = recorded(file)
    const { url } = await startRedis(t)
    const raw = new Redis(url)
    t.teardown(() => { raw.disconnect() })
    const [epoch] = /(?<=^r )\S+/.exec(messages[0]!.text)!
    const own = await node(t, redis({ url }))
    await own.adapter.subscribe('live/1', live)
    const position = await own.adapter.subscribe('chat/1', reliable)
    for (const { channel, text } of messages) await raw.call('SPUBLISH', channel, text.replace(epoch, position!.epoch))
    await heard(t, own, controls)
    await own.adapter.unsubscribe('chat/1')
    await raw.flushall()
    // The same server: one that was restarted is another matter.
    const run = /^run_id:(\w+)/m.exec(await raw.info('server'))![1]!
    for (const [key, { type, value }] of Object.entries(keys)) {
      const fields = value as Record<string, string>
      if (type === 'string') await raw.set(key, value as string)
      else if (type === 'list') await raw.rpush(key, ...value as string[])
      else if (type === 'hash') await raw.hset(key, fields.run === undefined ? fields : { ...fields, run })
      else if (type === 'zset') {
        await raw.zadd(
          key,
          ...(value as string[]).map((_, index, all) => all[index % 2 === 0 ? index + 1 : index - 1]!)
        )
      } else for (const [id, fields] of value as Array<[string, string[]]>) await raw.xadd(key, id, ...fields)
    }
    const late = await node(t, redis({ url }), 'b')
    await holds(t, late.adapter)
    t.same((await late.adapter.latest!('chat/1', reliable)).map(dataOf), [{ text: 'hi' }])
    const page = await late.adapter.history!('chat/1', { since: { epoch, offset: 1 }, limit: 10 }, reliable)
    t.same([page.resumed, page.events.map(textOf)], [true, ['hi']])
    const again = await late.adapter.publish(
      'chat/1',
      { type: 'said', data: '{"text":"again"}', delivery: 'reliable', timestamp: 1, idempotencyKey: 'ann:m-1:1' },
      reliable
    )
    t.match(again, { position: { epoch, offset: 1 }, recipients: 0 })
    t.equal(undecodable(late), 0)
  })

  t.test(`nats: what a node of ${file} wrote is heard and found by one of today`, {
    skip: missing(
      'nats-server'
    )
  }, async (t) => {
    const { nats: { keys, messages }, controls } = recorded(file)
    const { url } = await startNats(t)
    const raw = await connect({ servers: [url] })
    t.teardown(async () => { await raw.close() })
    const own = await node(t, nats({ url }))
    await own.adapter.subscribe('live/1', live)
    await own.adapter.subscribe('chat/1', reliable)
    // Those with a number come from the server, which sends on what its stream takes.
    for (const { subject, text, headers } of messages) {
      if (headers['Nats-Sequence'] === undefined && !subject.includes('.kept.')) raw.publish(subject, text)
    }
    await raw.flush()
    await heard(t, own, controls, false)
    for (const { subject, text } of messages) if (subject.includes('.kept.')) raw.publish(subject, text)
    await until(
      'kept events came',
      () => own.host.events.get('chat/1')!.filter(({ position }) => position !== undefined).length === 2
    )
    const page = await own.adapter.history!('chat/1', { last: 10, limit: 10 }, reliable)
    t.same(page.events.map(textOf), ['hi', 'hi'])
    // The buckets are made at their first use.
    await own.adapter.denials!.isDenied(['user:nobody'])
    await own.adapter.leases!.count('user:nobody')
    await own.adapter.claims!.take('nobody')
    const kvm = new Kvm(raw)
    for (const [name, value] of Object.entries(keys)) {
      const at = name.indexOf('.')
      const key = name.slice(at + 1)
      // Former versions kept claims and tickets where slots are, in the same form.
      const bucket = /^(claim|value)\./.test(key) ? 'realtime_claims' : name.slice(0, at)
      await (await kvm.open(bucket)).put(key, value)
    }
    await holds(t, own.adapter)
    t.equal(undecodable(own), 0)
  })
}
