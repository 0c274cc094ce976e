import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { defineRoom, Refusal } from '../../lib/index.js'
import { connect, type Running } from '../helpers/net.js'
import { PAIRS } from '../helpers/node-pairs.js'

const game = defineRoom('game/:id', {
  messages: { play: { data: Type.Object({}), reply: Type.Object({}) } },
  events: {
    started: Type.Object({ at: Type.Integer() }),
    paid: Type.Object({ at: Type.Integer() }),
    ended: Type.Object({}),
    state: { data: Type.Object({ table: Type.String(), is: Type.String() }), delivery: 'latest', key: 'table' }
  }
})

type Event = 'started' | 'paid' | 'ended' | 'state'
type Said = readonly [event: Event, data: object] | readonly [removed: 'state', key: string]

interface Outcome {
  /** What a member has heard: the events with a number, in order. */
  readonly heard: string[]
  readonly values: object
}

/** Runs a message as often as there are lists of what its handler says; all runs but the last one fail. */
async function outcomeOf (t: Test, nodes: (typeof PAIRS)[number]['nodes'], runs: readonly Said[][]): Promise<Outcome> {
  let ran = 0
  const both: [Running, Running] = await nodes(t, {
    declare: (app) => {
      app.room(game, {
        on: {
          async play ({ room }) {
            const mine = ran++
            for (const [event, what] of runs[mine]!) {
              if (typeof what === 'string') await room.remove('state', what)
              else await room.broadcast(event, what as never)
            }
            if (mine < runs.length - 1) throw new Refusal('unavailable', { retryAfter: 1 })
            return {}
          }
        }
      })
    }
  })
  const [there, here] = both
  const member = await connect(there, { rooms: ['game/1'], token: there.token('bob') })
  for (const [index] of runs.entries()) {
    // The message is sent again to the other node, as a client does whose connection was lost meanwhile.
    const server = index % 2 === 0 ? there : here
    const ada = await connect(server, { rooms: ['game/1'], token: server.token('ada') })
    ada.send({ type: 'play', room: 'game/1', id: 'p-1', data: {} })
    await ada.next(index < runs.length - 1 ? 'error' : 'ack', ({ id }) => id === 'p-1')
  }
  await there.app.rooms.broadcast('game/1', 'ended', {})
  await member.next('ended')
  const heard = member.queue.all
    .filter(({ type }) => type === 'started' || type === 'paid')
    .map(({ type, data }) => `${type} ${(data as { at: number }).at}`)
  const values = (await there.app.rooms.state(game.at({ id: '1' }))).get('state') ?? []
  return { heard, values: Object.fromEntries([...values].map(([table, { is }]) => [table, is])) }
}

const said = (event: 'started' | 'paid', at: number): Said => [event, { at }]
const is = (table: string, is: string): Said => ['state', { table, is }]

const STORIES: ReadonlyArray<readonly [promise: string, runs: readonly Said[][], outcome: Outcome]> = [
  [
    'an event that only the second run makes is heard, and what both make comes once',
    [[said('started', 1)], [said('paid', 2)], [said('started', 3), said('paid', 4)]],
    { heard: ['started 1', 'paid 2'], values: {} }
  ],
  [
    'events of two names that come in another order, and with other data, come once each',
    [[said('started', 1), said('started', 2)], [said('paid', 3), said('started', 4), said('started', 5), said('started', 6)]],
    { heard: ['started 1', 'started 2', 'paid 3', 'started 6'], values: {} }
  ],
  [
    'values are what the last run says',
    [[is('a', 'open'), is('b', 'open')], [is('b', 'open'), is('a', 'paid')]],
    { heard: [], values: { a: 'paid', b: 'open' } }
  ],
  [
    'a value that the last run sets last is what is shown, also where the first run had set it so before',
    [[is('a', 'open')], [is('a', 'paid'), is('a', 'open')]],
    { heard: [], values: { a: 'open' } }
  ],
  [
    'a value that the last run removes is gone, and one that it sets behind that is there',
    [
      [is('a', 'open'), ['state', 'a'], is('b', 'open'), ['state', 'b']],
      [is('a', 'open'), ['state', 'a'], ['state', 'b'], is('b', 'open')]
    ],
    { heard: [], values: { b: 'open' } }
  ]
]

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: of a message whose handler runs again`, { skip }, async (t) => {
    for (const [promise, runs, outcome] of STORIES) {
      await t.test(promise, async (t) => { t.same(await outcomeOf(t, nodes, runs), outcome) })
    }
  })
}
