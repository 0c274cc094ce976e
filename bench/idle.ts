import { loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { RoomSettings } from '../dist/adapters/adapter.js'
import { PresenceKeeper } from '../dist/rooms/presence.js'
import { Slots } from '../dist/admission/slots.js'
import { startNats, startRedis, type Broker } from './idle/broker.js'
import { describeMachine } from './machine.js'
import { show } from './page.js'
import { figure, table } from './table.js'

/** Idle connections, each of a user of its own. */
const COUNTS = [1_000, 5_000, 20_000]
/** Members of a room with presence. */
const CROWD = 100
/**
 * Milliseconds of rest before it is measured, and of what is measured: longer than the longest time between two
 * position checks.
 */
const REST = 15_000
const WINDOW = 60_000
/** Connections that come at once. */
const AT_ONCE = 200

const say = (line: string): void => { process.stderr.write(`${line}\n`) }
const failed = (error: unknown): void => { say(`failed: ${String(error)}`) }

interface Figures {
  readonly requests: number
  readonly broker: number
  readonly node: number
  readonly arrival: number
}

/**
 * What a node asks of its broker for connections that do nothing: each has a slot of its user, a room of its own with
 * history, and is present in one of the rooms. Sockets are left out: they cost the broker nothing.
 */
async function measure (broker: Broker, count: number): Promise<Figures> {
  const adapter = broker.adapter()
  const rooms = new Map<string, RoomSettings>()
  await adapter.start({
    nodeId: 'bench',
    log: {
      info () {},
      warn (_object, message) { say(message) }
    },
    event: () => 0,
    gap () {},
    presence () {},
    values: () => [],
    control () {},
    missed () {},
    state () {}
  })
  const slots = new Slots(
    { capacity: 1e6, user: 10, address: undefined, whenUnavailable: 'refuse' },
    adapter.leases,
    failed,
    () => {}
  )
  const presence = new PresenceKeeper(adapter.presence!, { grace: 15_000, lease: 60_000 }, () => rooms.keys(), failed)
  const enter = async (index: number): Promise<void> => {
    const [id, userId, own, crowd] = [`c${index}`, `u${index}`, `@user/u${index}`, `crowd/${Math.floor(index / CROWD)}`]
    slots.reserve(id, userId, '', [])
    await slots.lease(id, [])
    for (const room of [own, crowd]) {
      if (rooms.has(room)) continue
      const settings = {
        history: { size: 100, ttl: 300_000 },
        latest: false,
        definition: room === own ? '@user/:id' : 'crowd/:id'
      }
      rooms.set(room, settings)
      await adapter.subscribe(room, settings)
    }
    await presence.join(crowd, { userId, connection: id })
  }
  const began = performance.now()
  for (let index = 0; index < count; index += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - index) }, (_, offset) => enter(index + offset)))
  }
  const arrival = performance.now() - began
  slots.start()
  presence.start()
  await delay(REST)
  const before = { requests: await broker.requests(), broker: broker.cpu(), node: process.cpuUsage() }
  await delay(WINDOW)
  const { user, system } = process.cpuUsage(before.node)
  const result = {
    requests: (await broker.requests() - before.requests) / WINDOW * 1_000,
    broker: (broker.cpu() - before.broker) / WINDOW,
    node: (user + system) / 1_000 / WINDOW,
    arrival
  }
  slots.stop()
  presence.stop()
  await adapter.close()
  return result
}

const percent = (share: number): string => `${figure(share * 100)} %`
const rows: string[][] = []
for (const start of [startRedis, startNats]) {
  for (const count of COUNTS) {
    const broker = await start()
    try {
      const { requests, broker: cpu, node, arrival } = await measure(broker, count)
      rows.push([
        broker.name,
        figure(count),
        figure(requests),
        percent(cpu),
        percent(node),
        `${figure(arrival / 1_000)} s`
      ])
      say(rows.at(-1)!.join(' | '))
    } finally {
      broker.stop()
    }
  }
}
const text = [
  '# What idle connections cost the broker',
  '',
  `One node. Each connection has a slot of its user, a room of its own with history, and presence in a room of ${CROWD}; nothing is published.`,
  `Over ${figure(WINDOW / 1_000)} s, in which the position of each room is compared at least once. CPU is of one core; \`arrival\` is how long it took all of them to come.`,
  '',
  ...describeMachine(),
  `Load average ${figure(loadavg()[0]!)}: above the number of cores CPU is a little larger than on a free machine, and \`arrival\` much.`,
  '',
  table(['broker', 'connections', 'requests/s', 'CPU of the broker', 'CPU of the node', 'arrival'], rows),
  '',
  'One heartbeat of the node every 10 s stands for all that it holds; every 10 minutes it is repaired, which is not in these figures: one request for 100 slots on Redis, one for each on NATS.',
  'The rest are position checks (every 40 s, on Redis 100 rooms in one script, on NATS one question for all rooms of a stream in which nothing happened) and looks for messages of other nodes.',
  '',
  'Print it anew: `npm run bench:idle -- --write`.',
  ''
].join('\n')
show('IDLE.md', text)
process.exit()
