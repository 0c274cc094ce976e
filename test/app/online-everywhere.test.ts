import t from 'tap'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { rejection } from '../helpers/client.js'
import { Calls, settled } from '../helpers/hook-calls.js'
import { connect, eventually, start } from '../helpers/net.js'
import { PAIRS, without } from '../helpers/node-pairs.js'

const limits = { user: { connections: 1_000_000, then: 'reject' } } as const

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: who is connected is online on every node, however many connections a user may have`, {
    skip
  }, async (t) => {
    const [a, b] = await nodes(t, { limits })
    const tabs = [await connect(a, { token: a.token('ada') }), await connect(a, { token: a.token('ada') })]
    t.same([await a.app.rooms.isOnline('ada'), await b.app.rooms.isOnline('ada')], [true, true])
    await tabs[0]!.close()
    await eventually('one connection', async () => (await b.app.rooms.connections({ user: 'ada' })).total, (n) => n === 1)
    t.equal(await b.app.rooms.isOnline('ada'), true)
    await tabs[1]!.close()
    await eventually('offline', async () => await b.app.rooms.isOnline('ada'), (isOnline) => !isOnline)
    t.equal(await a.app.rooms.isOnline('ada'), false)
  })

  t.test(`${name}: with the grace a user whose link was cut is online on every node until onOffline has come`, {
    skip
  }, async (t) => {
    const calls = new Calls()
    const [a, b] = await nodes(t, calls.options)
    const says = async (options?: { grace: boolean }): Promise<boolean[]> =>
      await Promise.all([a, b].map(async ({ app }) => await app.rooms.isOnline('ada', options)))
    const cut = async (): Promise<void> => {
      peer.cut()
      await eventually('no connection', says, (each) => !each.includes(true))
    }
    t.same(await says({ grace: true }), [false, false], 'who never came is not')

    let peer = await connect(a, { token: a.token('ada') })
    t.equal(await a.app.rooms.isOnline('ada', { grace: true }), true, 'at once where the connection is')
    await calls.of('online ada', 1)
    await cut()
    t.same([await says({ grace: true }), calls.all], [[true, true], ['online ada']])

    peer = await connect(b, { token: b.token('ada') })
    await settled()
    t.same([await says({ grace: true }), calls.all], [[true, true], ['online ada']], 'a list of that moment stays right')

    await cut()
    t.same(await says({ grace: true }), [true, true])
    await calls.of('offline ada', 1)
    t.same([await says({ grace: true }), calls.all], [[false, false], ['online ada', 'offline ada']])
  })
}

t.test('with the grace isOnline works over an adapter that can only list who is there', async (t) => {
  const calls = new Calls()
  const whole = memory()
  const presence = without(whole.presence!, 'isPresent')
  const adapter = new Proxy(without(whole), {
    get: (target, name) => name === 'presence' ? presence : Reflect.get(target, name) as unknown
  })
  const server = await start(t, { ...calls.options, adapter })
  const peer = await connect(server, { token: server.token('ada') })
  await calls.of('online ada', 1)
  peer.cut()
  await eventually('cut', async () => await server.app.rooms.isOnline('ada'), (isOnline) => !isOnline)
  t.equal(await server.app.rooms.isOnline('ada', { grace: true }), true)
  t.equal(await server.app.rooms.isOnline('bob', { grace: true }), false)
})

t.test('with the grace isOnline is refused by its fix where the app has neither hook, and so is another option', async (t) => {
  const { app: { rooms } } = await start(t)
  const fault = async (options: object): Promise<string> => String(await rejection(rooms.isOnline('ada', options)))
  t.match(await fault({ grace: true }), /give the plugin one of them, on all nodes/)
  t.match(await fault({ graec: true }), /graec is no option of isOnline; did you mean "grace"\?/)
  t.match(await fault({ grace: 1 }), /grace of isOnline is true or false, got number/)
  t.same([await rooms.isOnline('ada', { grace: false }), await rooms.isOnline('ada', {})], [false, false])
})
