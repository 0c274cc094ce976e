import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { defineRoom } from '../../../lib/index.js'
import { matchList } from '../../helpers/match-list.js'
import {
  connect, eventually, poll, statsOf, TRANSPORTS, type ConnectOptions, type Refused, type Running, type TransportName
} from '../../helpers/net.js'
import { Client, Nodes, Publisher, upTo, type Ground } from './client.js'

const watched = defineRoom('watched/:id', {
  events: { e: Type.Object({ i: Type.Integer() }) },
  member: Type.Object({ name: Type.String() })
})
const ROOM = 'watched/1'
const CUTS = 40
/** Events that each node publishes around each cut. */
const BURST = 8

/**
 * A client that is cut while both nodes publish, and comes back to the other node each time; on each node somebody
 * watches all the while.
 */
export function across (ground: Ground): void {
  const story = (title: string, transportOf: (cut: number) => TransportName, isByCursor: boolean): void => {
    void t.test(`${ground.name}, ${title}: each offset comes once and in order, presence shows one member who never left, and both ledgers add up`, {
      timeout: 60_000
    }, async (t) => {
      const nodes = await Nodes.start(t, ground, {
        declare: (app) => {
          app.room(watched, { history: { size: 2_000, ttl: 600_000 }, presence: ({ userId }) => ({ name: userId }) })
        },
        limits: { user: { connections: 1_000, then: 'reject' } },
        // No cut lasts that long: who comes back has not left.
        presence: { grace: 60_000 }
      })
      const watchers = await Promise.all(nodes.all.map(async (node, index) => await connect(node, {
        rooms: [ROOM],
        token: nodes.token(`watcher-${index}`)
      })))
      const client = new Client(nodes, 'ada', { room: ROOM, isByCursor })
      await client.open(transportOf(0))
      const publisher = new Publisher(ROOM)
      let last = 0
      const burst = (): void => {
        for (let i = 0; i < BURST; i++) for (const node of nodes.all) publisher.push(node, ++last)
      }
      for (let cut = 1; cut <= CUTS; cut++) {
        burst()
        client.cut()
        burst()
        await client.open(transportOf(cut))
        t.equal(client.resumed, true)
        await publisher.settled()
      }
      await client.has(last, 20_000)
      const { offsets, numbers } = publisher.inOrder
      t.same(client.offsets, offsets)
      t.same(client.got, numbers)
      t.same([...client.got].sort((a, b) => a - b), upTo(last))
      t.equal(client.gaps, 0)
      for (const watcher of watchers) {
        const { all } = watcher.queue
        const seen = await eventually(
          'all events',
          () => all.filter(({ type }) => type === 'e').map(({ offset }) => offset),
          ({ length }) => length >= last
        )
        t.same(seen, offsets)
        await watcher.sync()
        const changes = all.filter(({ type }) => type === 'presence').map(({ data }) => data as {
          joined: Array<{ userId: string }>
          left: object[]
        })
        t.equal(changes.flatMap(({ joined }) => joined).filter(({ userId }) => userId === 'ada').length, 1)
        t.same(changes.flatMap(({ left }) => left), [])
      }
      for (const { app } of nodes.all) {
        t.same((await app.rooms.members(ROOM)).map(({ userId }) => userId).sort(), ['ada', 'watcher-0', 'watcher-1'])
        t.equal(await app.rooms.count(ROOM), 3)
      }
      await nodes.assertLedgers(t)
    })
  }

  for (const transport of TRANSPORTS) {
    story(`${transport} by position, cut ${CUTS} times while both nodes publish`, () => transport, false)
  }
  for (const transport of ['sse', 'polling'] as const) {
    story(`${transport} by cursor, cut ${CUTS} times while both nodes publish`, () => transport, true)
  }
  story(`another transport at each of ${CUTS} cuts while both nodes publish`, (cut) => TRANSPORTS[cut % 3]!, false)
}

/** A connection that polls is one connection, on whichever node it polls. */
export function moving (ground: Ground): void {
  t.test(`${ground.name}: a connection that polls another node keeps its slots and its place in presence there, and the first node ends its poll and forgets it`, async (t) => {
    const grace = 300
    const nodes = await Nodes.start(t, ground, {
      declare: (app) => { app.room(watched, { capacity: 1, presence: ({ userId }) => ({ name: userId }) }) },
      limits: { user: { connections: 1, then: 'reject' } },
      presence: { grace }
    })
    const [a, b] = nodes.all as [Running, Running]
    const ada = { rooms: [ROOM], token: nodes.token('ada') }
    const total = async ({ app }: Running): Promise<number> => (await statsOf(app)).connections.total
    const refusal = async (options: ConnectOptions): Promise<string | undefined> => await connect(a, options).then(
      () => undefined,
      ({ body }: Refused) => body.code
    )
    const { cursor, connectionId } = await poll(a, ada)
    const requests = ({ lines }: Running): number => lines.filter((line) => line.includes('incoming request')).length
    const next = async (node: Running): Promise<{ answer: ReturnType<typeof poll> }> => {
      const before = requests(node)
      const answer = poll(node, { ...ada, query: { since: cursor, wait: '20000' } })
      await eventually('the poll has come', () => requests(node), (count) => count > before)
      return { answer }
    }
    let open = await next(a)
    for (const [from, to] of [[a, b], [b, a], [a, b]] as const) {
      const moved = await next(to)
      matchList(t, await open.answer, { connectionId, cursor, frames: [] })
      await eventually('the first node', async () => await total(from), (count) => count === 0)
      t.equal(await total(to), 1)
      open = moved
    }
    // What the first node would give up it would have given up by then: after the grace a connection ends, after
    // another its presence.
    const end = performance.now() + grace * 6
    while (performance.now() < end) {
      const members = (await b.app.rooms.members(ROOM)).map(({ userId }) => userId)
      t.same(
        [await refusal({ token: ada.token }), await refusal({ rooms: [ROOM], token: nodes.token('bob') }), members],
        ['user_limit', 'room_full', ['ada']]
      )
      await sleep(100)
    }
    await a.app.rooms.broadcast(ROOM, 'e', { i: 1 })
    const answer = await open.answer
    matchList(t, answer, { connectionId, resumed: true, frames: [{ data: { i: 1 } }] })
    // Nobody polls it any more: where it was last, it ends and gives back what it holds.
    await eventually(
      'bob',
      async () => await refusal({ rooms: [ROOM], token: nodes.token('bob') }),
      (word) => word === undefined
    )
    await eventually(
      'presence',
      async () => (await a.app.rooms.members(ROOM)).map(({ userId }) => userId).join(),
      (members) => members === 'bob'
    )
    await nodes.assertLedgers(t)
  })
}
