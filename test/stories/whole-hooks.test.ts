import t from 'tap'
import { Calls, GRACE, hall, plain, settled } from '../helpers/hook-calls.js'
import { lacking, PAIRS } from '../helpers/node-pairs.js'
import { rejection, until } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { connect, start, TRANSPORTS, type Running, type StartOptions } from '../helpers/net.js'

// Most of it is waiting: for a grace, and for other nodes.
t.jobs = PAIRS.length

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: of the first connection of a user and the last, and of the first member of a room and the last, one node is told once`, {
    buffered: true,
    skip,
    timeout: 60_000
  }, async (t) => {
    const calls = new Calls()
    const [a, b] = await nodes(t, calls.options)
    for (const transport of TRANSPORTS) {
      const token = (server: Running): string => server.token(transport)
      const first = await connect(a, { transport, token: token(a), rooms: ['hall/x%2Fy'] })
      await calls.of(`online ${transport}`, 1)
      const second = await connect(b, { token: token(b), rooms: ['hall/x%2Fy', 'plain/1'] })
      await calls.of('occupied hall/x%2Fy x/y', 1)
      await first.close()
      second.cut()
      // Back within the grace, on the other node.
      const third = await connect(a, { token: token(a), rooms: ['hall/x%2Fy'] })
      await new Promise((resolve) => { setTimeout(resolve, GRACE * 2) })
      third.send({ type: 'leave', room: 'hall/x%2Fy', id: '1' })
      await calls.of('vacated hall/x%2Fy x/y', 1)
      third.cut()
      await calls.of(`offline ${transport}`, 1)
      await settled()
      t.same([...calls.all.splice(0)].sort(), [
        'occupied hall/x%2Fy x/y', `offline ${transport}`, `online ${transport}`, 'vacated hall/x%2Fy x/y'
      ].sort())
    }
    t.same([a.loud, b.loud], [[], []])
  })
}

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: the hook for the end of a user or a room runs behind that for its beginning, however long that takes`, {
    buffered: true,
    skip,
    timeout: 60_000
  }, async (t) => {
    const calls: string[] = []
    let go = (): void => undefined
    const gate = new Promise<void>((resolve) => { go = resolve })
    const slow = (call: string) => async (): Promise<void> => {
      calls.push(call)
      if (call === 'online' || call === 'occupied') await gate
      calls.push(`${call} is over`)
    }
    const [a, b] = await nodes(t, {
      presence: { grace: 50 },
      onOnline: slow('online'),
      onOffline: slow('offline'),
      declare: (app) => { app.room(hall, { onOccupied: slow('occupied'), onVacated: slow('vacated') }) }
    })
    const peer = await connect(a, { token: a.token('ada'), rooms: ['hall/1'] })
    await until('both have begun', () => calls.length >= 2)
    peer.send({ type: 'leave', room: 'hall/1', id: '1' })
    await peer.next('ack')
    peer.cut()
    // Longer than other nodes wait before they look whether a hook has run.
    await settled()
    t.same(calls.splice(0).sort(), ['occupied', 'online'])
    go()
    await until('all are over', () => calls.includes('vacated is over') && calls.includes('offline is over'))
    t.same(calls.filter((call) => /occupied|vacated/.test(call)), ['occupied is over', 'vacated', 'vacated is over'])
    t.same(calls.filter((call) => /online|offline/.test(call)), ['online is over', 'offline', 'offline is over'])
    t.same([a.loud, b.loud], [[], []])
  })
}

t.test('a hook that throws is logged, and so is one that hangs; the other hooks run', async (t) => {
  const seen: string[] = []
  const server = await start(t, {
    timeouts: { handler: 50 },
    onOnline: async ({ userId }) => {
      seen.push(userId)
      if (userId === 'thrower') throw new Error('no')
      if (userId === 'hanger') await new Promise(() => undefined)
    },
    declare: (app) => { app.room(plain) }
  })
  for (const user of ['thrower', 'hanger', 'ada']) await connect(server, { token: server.token(user) })
  await until('both are logged', () => server.loud.length === 2)
  matchList(t, server.loud, [
    { msg: 'a hook failed', hook: 'onOnline', subject: 'thrower', err: { message: 'no' } },
    { msg: 'a hook failed', hook: 'onOnline', subject: 'hanger', err: { message: /50 ms/ } }
  ])
  t.same(seen, ['thrower', 'hanger', 'ada'])
})

t.test('hooks are refused with a code where they cannot be kept, and an adapter keeps nothing where there are none', async (t) => {
  const code = async (options: StartOptions): Promise<string> => (await rejection(start(t, options))).code
  const onOnline = (): void => {}
  for (const ability of ['presence', 'claims']) {
    t.equal(await code({ adapter: lacking(ability), onOnline }), 'REALTIME_ERR_ADAPTER')
    t.equal(await code({
      adapter: lacking(ability),
      declare: (app) => { app.room(hall, { onVacated () {} }) }
    }), 'REALTIME_ERR_ADAPTER')
  }
  t.equal(await code({ onOffline: 'no' as never }), 'REALTIME_ERR_OPTIONS')
  t.equal(await code({ declare: (app) => { app.room(hall, { onOccupied: true as never }) } }), 'REALTIME_ERR_OPTIONS')
  const adapter = lacking()
  const subscribed: string[] = []
  const server = await start(t, {
    adapter: new Proxy(adapter, {
      get: (target, name) => name === 'subscribe'
        ? (room: string, ...rest: [never]) => {
            subscribed.push(room)
            return target.subscribe(room, ...rest)
          }
        : Reflect.get(target, name) as unknown
    }),
    declare: (app) => { app.room(hall) }
  })
  await connect(server, { token: server.token('ada'), rooms: ['hall/1'] })
  t.same(subscribed, ['hall/1'])
})
