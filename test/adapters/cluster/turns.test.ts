import t, { type Test } from 'tap'
import { measure } from '../../../bench/turns/meter.js'
import { clusterBy } from '../../../lib/adapters/cluster/adapter.js'
import { Host } from '../../../lib/adapters/cluster/host.js'
import { node, reliable, type Node } from '../../../lib/adapters/contract/host.js'
import { inBatches } from '../../../lib/structures/slices.js'
import { until } from '../../helpers/servers.js'

const USERS = 50_000
const ROOMS = 100_000
/** Calls under way at a time. */
const AT_ONCE = 5_000
/** Milliseconds until what a worker that has gone held ends. */
const LEASE = 500
/** Milliseconds of the processor that one turn of the event loop may take, of the primary and a worker together. */
const TURN = 30
/** Others who use the processor lengthen a turn now and then; work in proportion lengthens one each time. */
const TRIES = 3

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

async function populate ({ adapter }: Node): Promise<void> {
  await adapter.subscribe('all', reliable)
  await inBatches(numbers(ROOMS), AT_ONCE, async (index) => {
    await adapter.subscribe(`room/${index}`, reliable)
    const entry = { userId: `user-${index % USERS}`, connection: `c-${index % USERS}` }
    await adapter.presence!.join(`room/${index}`, entry, LEASE)
  })
  await inBatches(numbers(USERS), AT_ONCE, async (index) => {
    const entry = { userId: `user-${index}`, connection: `c-${index}` }
    await adapter.presence!.join('all', entry, LEASE)
    await adapter.leases!.acquire(`user:user-${index}`, entry.connection, 5, 60_000)
  })
}

/** What the longest turn took while all that a worker held was cleared. */
async function clear (t: Test): Promise<number> {
  const host = new Host()
  const channel = host.local()
  const a = await node(t, clusterBy(channel, { timeout: 60_000 }), 'a')
  const b = await node(t, clusterBy(host.local(), { timeout: 60_000 }), 'b')
  await populate(a)
  await b.adapter.subscribe('all', reliable)
  const left = (): number => (b.host.changes.get('all') ?? []).reduce((sum, change) => sum + change.left.length, 0)
  const rooms = (): number => host.stats().realtime!.rooms!
  t.same([rooms(), left()], [ROOMS + 1, 0])
  t.equal((await b.adapter.presence!.snapshot('all', 10)).total, USERS)
  const turns = await measure(async () => {
    channel.close()
    await until('its users have left', () => left() === USERS, 60_000)
    await until('its rooms are empty', () => rooms() === 1, 60_000)
  })
  t.comment(`longest turn ${turns.longest.toFixed(1)} ms, ${turns.own.toFixed(1)} ms without the collector`)
  t.equal((await b.adapter.presence!.snapshot('all', 10)).total, 0)
  const isGone = async (): Promise<boolean> => !await b.adapter.presence!.isPresent!('room/99999', 'user-49999')
  await until('who was in the last room is not there', isGone)
  await b.adapter.close?.()
  host.close()
  return turns.own
}

t.test('cluster: what a worker with 50 000 users and 100 000 rooms leaves behind when it is killed is cleared in short turns', async (t) => {
  // No timer of an adapter keeps its process.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => { clearInterval(alive) })
  let least = Number.POSITIVE_INFINITY
  for (let tried = 0; tried < TRIES && least >= TURN; tried++) least = Math.min(least, await clear(t))
  t.ok(least < TURN, `${least.toFixed(1)} ms in one turn`)
})
