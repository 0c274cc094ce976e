import t, { type Test } from 'tap'
import type { Adapter, RoomSettings, TextStore } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { node } from '../../lib/adapters/contract/host.js'
import { ai } from '../helpers/growing-room.js'
import { BROKERS, CLUSTER } from '../helpers/brokers.js'
import { eventually, start } from '../helpers/net.js'
import { missing } from '../helpers/servers.js'

const settings: RoomSettings = {
  history: false,
  latest: false,
  append: { size: 1_048_576, ttl: 86_400_000 },
  definition: 'ai/:id'
}

/** Begins a text, which nobody goes on with. */
async function begin (texts: TextStore, key: string, lease: number): Promise<void> {
  const step = { type: 'answer', key, timestamp: Date.now(), writer: `writer of ${key}`, lease }
  const before = `{"id":"${key}","text":"`
  await texts.write('ai/1', { ...step, number: 0, part: { before, inside: '', isList: false, from: 0, to: 0 } }, settings)
  const part = { before, inside: 'so far', isList: false, from: 0, to: 6 }
  await texts.write('ai/1', { ...step, number: 1, part }, settings)
}

/** The adapter of a node that writes and dies, and that of another one. */
interface Two { readonly dies: Adapter, readonly reads: Adapter }

const ADAPTERS: ReadonlyArray<readonly [string, string | false, (t: Test) => Promise<Two>]> = [
  ['memory', false, async () => {
    const one = memory()
    return { dies: one, reads: one }
  }],
  ...[...BROKERS, CLUSTER].map(({ name, program, start: run, make }) => {
    const two = async (t: Test): Promise<Two> => {
      const { port } = await run(t)
      return { dies: (await node(t, make(port), 'dies')).adapter, reads: make(port) }
    }
    return [name, missing(program), two] as const
  })
]

for (const [name, skip, two] of ADAPTERS) {
  t.test(`${name}: who reads a text whose writer has died while nobody was in its room is told that it is lost`, {
    skip
  }, async (t) => {
    const { dies, reads } = await two(t)
    const { app } = await start(t, { adapter: reads, declare: (app) => { app.room(ai) } })
    await begin(dies.texts!, 'grows', 60_000)
    await begin(dies.texts!, 'dead', 300)
    const room = ai.at({ id: '1' })
    const end = await eventually('its end', async () => (await app.rooms.read(room, 'answer', 'dead'))?.end, (end) => {
      return end !== undefined
    })
    t.equal(end, 'lost')
    const data = { id: 'dead', text: 'so far' }
    t.same(await app.rooms.read(room, 'answer', 'dead'), { data, end: 'lost' }, 'and once more')
    t.same(await app.rooms.read(room, 'answer', 'grows'), { data: { id: 'grows', text: 'so far' } }, 'another grows on')
  })
}
