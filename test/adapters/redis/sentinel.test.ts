import { setImmediate } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { redis } from '../../../lib/adapters/redis/adapter.js'
import { missing, startSentinel, until, type Sentinels, type Server, type Teardown } from '../../helpers/servers.js'
import { adapterContract } from '../../../lib/adapters/contract/contract.js'
import { node, reliable, said, type Node } from '../../../lib/adapters/contract/host.js'

const reason = missing('redis-server')
if (reason !== false) t.plan(0, reason)
else {
  let started: Promise<Sentinels> | undefined
  let count = 0

  adapterContract(t, async (each) => {
    const client = clientOf(each, await (started ??= startSentinel(t)))
    const prefix = `test${++count}:`
    return () => redis({ client, prefix })
  }, { name: 'redis sentinel' })

  failovers()
}

/** The application's own client, as it would be handed over. */
function clientOf (t: Teardown, { name, nodes }: Pick<Sentinels, 'name' | 'nodes'>): Redis {
  const client = new Redis({ sentinels: [...nodes], name, lazyConnect: true })
  t.teardown(() => { client.disconnect() })
  return client
}

/** Two nodes with members of `chat/1`: one was given a client, the other the addresses. */
async function pair (t: Test, group: Sentinels): Promise<[Node, Node]> {
  const { name, nodes } = group
  const a = await node(t, redis({ client: clientOf(t, group), timeout: 1_000 }), 'a')
  const b = await node(t, redis({ sentinels: { name, nodes }, timeout: 1_000 }), 'b')
  for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', kept)
  return [a, b]
}

const kept = { ...reliable, history: { size: 10_000, ttl: 300_000 } }

async function isUp (...nodes: Node[]): Promise<void> {
  for (const { adapter, host } of nodes) {
    await until(`${host.nodeId} is up`, () => adapter.stats!().isUp === true, 40_000)
  }
}

async function publish ({ adapter }: Node, ...texts: string[]): Promise<void> {
  for (const text of texts) await adapter.publish('chat/1', said(text), kept)
}

/** The replica hears nothing of its primary any more, as when the link between the two has broken. */
async function part (t: Test, { primary, replica }: Sentinels): Promise<void> {
  const [above, below] = [primary, replica].map(({ url }) => new Redis(url)) as [Redis, Redis]
  for (const client of [above, below]) client.on('error', () => undefined)
  t.teardown(() => { above.disconnect(); below.disconnect() })
  // A password that the primary does not ask for: it turns away who names one.
  await below.config('SET', 'masterauth', 'wrong')
  await below.call('CLIENT', 'KILL', 'TYPE', 'master')
  await until('the primary has no replica', async () => /connected_slaves:0/.test(await above.info('replication')))
}

/** The primary takes no more, and its replica has all of it: it answers before the replica has what it answers for. */
async function whole (t: Test, { primary }: Sentinels): Promise<void> {
  const admin = new Redis(primary.url)
  admin.on('error', () => undefined)
  t.teardown(() => { admin.disconnect() })
  await admin.call('CLIENT', 'PAUSE', '60000', 'WRITE')
  await until('the replica has everything', async () => {
    const text = await admin.info('replication')
    const [has, of] = [/^slave0:.*offset=(\d+)/m, /^master_repl_offset:(\d+)/m].map((each) => each.exec(text)?.[1])
    return has !== undefined && has === of
  })
}

/** Publishes through all nodes, each event once the one before is accepted; what was refused is not published again. */
function chatter (t: Test, nodes: readonly Node[]): { readonly accepted: string[], stop (): Promise<void> } {
  const accepted: string[] = []
  const going = { isOn: true }
  t.teardown(() => { going.isOn = false })
  const publishing = nodes.map(async (each) => {
    for (let index = 0; going.isOn; index++) {
      const text = `${each.host.nodeId} ${index}`
      try {
        await publish(each, text)
        accepted.push(text)
      } catch {
        // Refused at once by a link that is about to close: without a turn of the loop it would never get to close.
        await setImmediate()
        await isUp(each)
      }
    }
  })
  return {
    accepted,
    stop: async () => {
      going.isOn = false
      await Promise.all(publishing)
    }
  }
}

function failovers (): void {
  const stories: ReadonlyArray<[string, (group: Sentinels) => Promise<Server | undefined>]> = [
    ['is killed', async ({ primary }) => { await primary.kill(); return undefined }],
    ['stands still together with the sentinel that clients ask next', async ({ primary, sentinels: [, second] }) => {
      await Promise.all([primary.pause(), second!.pause()])
      return primary
    }]
  ]
  for (const [what, end] of stories) {
    t.test(`redis sentinel: when the primary ${what}, both nodes go on with the promoted replica, each event once and in order`, async (t) => {
      const group = await startSentinel(t)
      const nodes = await pair(t, group)
      const { accepted, stop } = chatter(t, nodes)
      await until('both publish', () => accepted.length > 200)
      await whole(t, group)
      await end(group)
      await group.promoted()
      const since = accepted.length
      const goesOn = ({ host }: Node): boolean => accepted.slice(since).some((text) => text.startsWith(host.nodeId))
      await until('both publish again', () => nodes.every(goesOn), 40_000)
      await stop()
      for (const { host } of nodes) {
        const unheard = (): string[] => {
          const heard = new Set(host.texts('chat/1'))
          return accepted.filter((text) => !heard.has(text))
        }
        // Not by their number: an event may be kept although its publisher was refused.
        await until('every accepted event is heard', () => unheard().length === 0).catch(() => undefined)
        const texts = host.texts('chat/1')
        t.ok(host.gaps.length > 0, 'the new epoch is told')
        t.same(host.gaps.filter(({ from, to }) => from !== to), [], 'and nothing else: the replica had everything')
        t.same(unheard(), [], 'nothing lost')
        t.equal(new Set(texts).size, texts.length, 'nothing doubled')
        t.same(host.offsets('chat/1'), texts.map((_, index) => index + 1), 'nothing out of order')
        for (const { host: { nodeId } } of nodes) {
          const own = texts.filter((text) => text.startsWith(nodeId)).map((text) => Number(text.split(' ')[1]))
          t.same(own, [...own].sort((x, y) => x - y), 'in the order in which they were published')
        }
      }
      t.comment(
        `${accepted.length} events, repairs ${nodes.map(({ adapter }) => String(adapter.stats!().repairs)).join(' ')}`
      )
    })
  }

  t.test('redis sentinel: of accepted events that the promoted replica never had everybody is told', async (t) => {
    const group = await startSentinel(t)
    const [a, b] = await pair(t, group)
    await publish(a, '0', '1', '2')
    const { position: shared } = await a.adapter.publish('chat/1', said('3'), kept)
    await part(t, group)
    const { position: lost } = await b.adapter.publish('chat/1', said('lost'), kept)
    for (const { host } of [a, b]) await host.heard('chat/1', 5)
    await group.primary.kill()
    await group.promoted()
    await isUp(a, b)
    const next = await until(
      'the event is accepted',
      async () => await a.adapter.publish('chat/1', said('after', { idempotencyKey: 'after' }), kept),
      20_000
    )
    t.not(next.position!.epoch, lost!.epoch)
    for (const { adapter, host } of [a, b]) {
      t.same(await host.heard('chat/1', 6), ['0', '1', '2', '3', 'lost', 'after'])
      t.same(
        host.gaps,
        [{ room: 'chat/1', epoch: next.position!.epoch, to: shared!.offset }],
        'how much was lost is not known'
      )
      t.equal(
        (await adapter.history!('chat/1', { since: lost, limit: 10 }, kept)).resumed,
        false,
        'a position that nobody holds any more'
      )
      const page = await adapter.history!('chat/1', { since: shared, limit: 10 }, kept)
      t.same(
        [page.resumed, page.floor],
        [false, { epoch: next.position!.epoch, offset: shared!.offset }],
        'a position that the replica had: what came after it is lost'
      )
    }
  })

  t.test('redis sentinel: a start without sentinels that answer is refused, and does not wait for them', async (t) => {
    const group = await startSentinel(t)
    await Promise.all(group.sentinels.map(async (each) => { await each.kill() }))
    const refused = { code: 'REALTIME_ERR_ADAPTER', message: /sentinels/ }
    await t.rejects(node(t, redis({ client: clientOf(t, group) }), 'a'), refused)
    await t.rejects(node(t, redis({ sentinels: { name: group.name, nodes: group.nodes } }), 'a'), refused)
  })
}
