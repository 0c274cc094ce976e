import type { Redis } from 'ioredis'
import type { Cluster, DayNode } from './cluster.js'

/** One trouble: how it is made, and what alone tells of it. */
export interface Trouble {
  readonly name: string
  make (cluster: Cluster, raw: Redis): Promise<void>
  /** A condition on metrics, as it stands in docs/operate/troubles.md, and whether it holds. */
  readonly query: string
  holds (cluster: Cluster): Promise<boolean>
  /** What a finding of the dashboard says. */
  readonly shows: RegExp
  /** What a line of a log says, where there is one. */
  readonly log?: RegExp
}

const above = async (node: DayNode, most: number, name: string, labels = ''): Promise<boolean> =>
  (await node.metric(name, labels) ?? 0) > most

/** In this order: the last ones take nodes away, and a slow reader makes memory short as well. */
export const TROUBLES: readonly Trouble[] = [
  {
    name: 'memory pressure',
    async make ({ nodes: [one, two] }) {
      for (let room = 10; room < 20; room++) {
        await one.member('reader', String(room))
        for (let each = 0; each < 3; each++) await two.post(`/say/${room}?bytes=20000`)
      }
    },
    shows: /events forgotten before their time/,
    query: 'rate(realtime_adapter_history_evicted_total[5m]) > 0',
    holds: async ({ nodes: [one] }) => await above(one, 0, 'realtime_adapter_history_evicted_total'),
    log: /^all of history\.bytes is used/
  },
  {
    name: 'slow reader',
    async make ({ nodes: [one] }) {
      (await one.member('slow', '1')).pause()
      for (let each = 0; each < 200; each++) await one.post('/say/1?bytes=60000')
    },
    shows: /connections cut because they read too slowly/,
    query: 'rate(realtime_connections_closed_total{code="slow_consumer"}[5m]) > 0',
    holds: async ({ nodes: [one] }) => await above(one, 0, 'realtime_connections_closed_total', 'code="slow_consumer"'),
    log: /^all of limits\.outbox is used/
  },
  {
    name: 'flood',
    async make ({ nodes: [one] }) {
      const socket = await one.member('loud', '2')
      for (let each = 0; each < 400; each++) {
        socket.send(JSON.stringify({ type: 'say', room: 'chat/2', id: String(each), data: { text: 'x' } }))
      }
    },
    shows: /messages refused because their senders say too much/,
    query: 'rate(realtime_message_errors_total{code="rate_limited"}[5m]) > 0',
    holds: async ({ nodes: [one] }) => await above(one, 0, 'realtime_message_errors_total', 'code="rate_limited"'),
    log: /^refused with rate_limited/
  },
  {
    name: 'wrong tokens',
    async make ({ nodes: [one] }) { for (let each = 0; each < 10; each++) await one.connect('eve', '1', 'a.b.c') },
    shows: /refusals a second, most of them unauthorized/,
    query: 'rate(realtime_admissions_refused_total{code="unauthorized"}[5m]) > 0',
    holds: async ({ nodes: [one] }) => await above(one, 9, 'realtime_admissions_refused_total', 'code="unauthorized"'),
    log: /^refused with unauthorized: .*compare the secret/
  },
  {
    name: 'room full',
    async make ({ nodes: [one] }) { for (let each = 0; each < 20; each++) await one.connect(`u${each}`, '3') },
    shows: /refusals a second, most of them room_full/,
    query: 'rate(realtime_admissions_refused_total{code="room_full"}[5m]) > 0',
    holds: async ({ nodes: [one] }) => await above(one, 1, 'realtime_admissions_refused_total', 'code="room_full"'),
    log: /^80 % of capacity of the room is used/
  },
  {
    name: 'gap',
    async make ({ nodes: [one, two] }, raw) {
      await one.member('ada', '4')
      await two.post('/say/4')
      await raw.flushall()
      await two.post('/say/4')
    },
    shows: /gaps, by which events were lost/,
    query: 'increase(realtime_gaps_total[5m]) > 0',
    holds: async ({ nodes: [one] }) => await above(one, 0, 'realtime_gaps_total')
  },
  {
    name: 'loop blocked',
    async make ({ nodes: [, two] }) { await two.post('/block') },
    shows: /the event loop stood still for/,
    query: 'realtime_event_loop_delay_seconds{statistic="max"} > 0.25',
    holds: async ({ nodes: [, two] }) => await above(two, 0.25, 'realtime_event_loop_delay_seconds', 'statistic="max"')
  },
  {
    name: 'adapter away',
    async make ({ redis, nodes }) {
      await redis.stop()
      for (const node of nodes) void node.post('/say/5')
    },
    shows: /the adapter redis is away/,
    query: 'realtime_adapter_up == 0',
    holds: async ({ nodes }) => (await Promise.all(nodes.map((node) => node.metric('realtime_adapter_up'))))
      .every((up) => up === 0),
    log: /^the adapter is disconnected/
  },
  {
    name: 'drain',
    async make ({ redis, nodes: [, two] }) {
      await redis.start()
      await two.member('ada', '6')
      for (let each = 0; each < 6; each++) await two.member(`b${each}`, '7')
      void two.end('SIGTERM')
    },
    shows: /accepts no connections/,
    query: 'realtime_accepting == 0',
    holds: async ({ nodes: [, two] }) => await two.metric('realtime_accepting') === 0
  },
  {
    name: 'node killed',
    async make ({ nodes: [, , three] }) { await three.end('SIGKILL') },
    shows: /does not answer/,
    query: 'up{job="realtime"} == 0',
    holds: async ({ nodes: [, , three] }) => await three.metric('realtime_accepting') === undefined
  }
]
