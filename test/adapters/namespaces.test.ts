import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { defineRoom } from '../../lib/index.js'
import { matchList } from '../helpers/match-list.js'
import { chat, connect, declareChat, lobby, start, type Running } from '../helpers/net.js'
import { missing, startNats, startRedis, until } from '../helpers/servers.js'

const live = defineRoom('live/:id', { events: { said: Type.Object({ text: Type.String() }) } })

function declare (app: FastifyInstance): void {
  declareChat(app)
  app.room(live, { history: false })
  app.room(lobby, { presence: () => ({ name: 'x' }) })
}

let tries = 0

/** Everything that one app can do which the other could hear. */
async function beLoud ({ app }: Running, id: number): Promise<void> {
  await app.rooms.broadcast(`chat/${id}`, 'said', { text: 'kept', by: 'the other' }, { idempotencyKey: 'order 1' })
  await app.rooms.broadcast(`chat/${id}`, 'typing', { by: 'the other' })
  await app.rooms.broadcast(`chat/${id}`, 'score', { team: 'the other', points: 1 })
  await app.rooms.broadcast(`live/${id}`, 'said', { text: 'live' })
  await app.rooms.join({ user: `ada${id}` }, `chat/${id}00`)
  await app.rooms.leave({ user: `ada${id}` }, `chat/${id}`)
  await app.rooms.revoke({ user: `ada${id}` })
}

async function hearsNothing (t: Test, one: Running, other: Running): Promise<void> {
  const id = ++tries
  const user = `ada${id}`
  const ada = await connect(one, { rooms: [`chat/${id}`, `live/${id}`, `crowd/${id}`], token: one.token(user) })
  await connect(other, { rooms: [`crowd/${id}`], token: other.token(`eve${id}`) })
  await beLoud(other, id)
  // What the other app said is through when its own next word, and this app's, are.
  const { recipients, position } = await one.app.rooms.broadcast(`chat/${id}`, 'said', { text: 'own', by: 'x' }, {
    idempotencyKey: 'order 1'
  })
  t.equal(recipients, 1, 'nor is its idempotency key taken')
  t.match((await ada.next('said')).data, { text: 'own' })
  await ada.sync()
  await ada.fence()
  t.same((await one.app.rooms.history(`chat/${id}`)).events.map(({ data }) => data), [{ text: 'own', by: 'x' }])
  t.ok(position)
  t.same((await one.app.rooms.members(`crowd/${id}`)).map(({ userId }) => userId), [user])
  t.equal(await one.app.rooms.isOnline(`eve${id}`), false)
  t.same((await one.app.rooms.stats()).closes, {})
  await (await connect(one, { token: one.token(user) })).close()
}

const skipRedis = missing('redis-server')
const skipNats = missing('nats-server')

t.test('redis: apps in two databases of one server hear nothing of each other', { skip: skipRedis }, async (t) => {
  const { url } = await startRedis(t)
  const apps = await Promise.all([
    0,
    1,
    12
  ].map((db) => start(t, {
    adapter: db === 12 ? redis({ url, settings: { db } }) : redis({ url: `${url}/${db}` }),
    declare
  })))
  const [first, second, third] = apps as [Running, Running, Running]
  await hearsNothing(t, first, second)
  await hearsNothing(t, second, third)
  t.same(apps.flatMap(({ loud }) => loud), [])
})

t.test('redis: nodes in one database hear each other, whichever way it was named', { skip: skipRedis }, async (t) => {
  const { url } = await startRedis(t)
  const client = new Redis(`${url}/3`, { lazyConnect: true })
  const adapters: Adapter[] = [redis({ url: `${url}/3` }), redis({ url, settings: { db: 3 } }), redis({ client })]
  const apps = await Promise.all(adapters.map((adapter) => start(t, { adapter, declare })))
  const peers = await Promise.all(apps.map((app) => connect(app, { rooms: ['chat/1'], token: app.token('ada') })))
  for (const { app } of apps) {
    await app.rooms.broadcast('chat/1', 'typing', { by: 'x' })
    for (const peer of peers) await peer.next('typing')
  }
  await apps[0]!.app.rooms.revoke({ user: 'ada' })
  for (const peer of peers) await peer.ended
})

t.test('redis: a prefix of the client stands in front of channels as of keys', { skip: skipRedis }, async (t) => {
  const { url } = await startRedis(t)
  const [one, other, third] = [
    await start(t, {
      adapter: redis({ client: new Redis(url, { lazyConnect: true, keyPrefix: 'staging:' }) }),
      declare
    }),
    await start(t, { adapter: redis({ url }), declare }),
    await start(t, { adapter: redis({ url, settings: { keyPrefix: 'production:' } }), declare })
  ]
  await hearsNothing(t, one, other)
  await hearsNothing(t, other, third)
})

t.test('nats: apps of two prefixes hear nothing of each other, however alike the prefixes are', {
  skip: skipNats,
  timeout: 120_000
}, async (t) => {
  const { url } = await startNats(t)
  const prefixes = ['a', 'a_b', 'a-b', 'A', 'a_state', 'KV_a']
  // Six at once on a busy disk take longer than the ten seconds that Fastify gives one.
  const patient = { declare, fastify: { pluginTimeout: 60_000 } }
  const apps = await Promise.all(prefixes.map((prefix) => start(t, { ...patient, adapter: nats({ url, prefix }) })))
  for (const [index, app] of apps.entries()) await hearsNothing(t, app, apps[(index + 1) % apps.length]!)
})

for (const prefix of [
  '', ' ', 'a b', 'a{b}', '{', 'a*', 'a?', '[a]', 'a\\b', 'a"b', 'a\n', 'ü:', 'a\0', 'x'.repeat(200), 5, null, {}, ['a']
]) {
  t.test(`the prefix ${JSON.stringify(prefix)} is refused by redis and by nats with what one is`, async (t) => {
    const { throws } = t
    for (const make of [redis, nats]) {
      throws(() => make({ prefix: prefix as string }), { code: 'REALTIME_ERR_OPTIONS', message: /prefix/ })
    }
  })
}

for (const { name, skip, open } of [
  {
    name: 'redis',
    skip: skipRedis,
    open: async (t: Test) => {
      const { url } = await startRedis(t)
      return (prefix: string) => redis({ url, prefix: `${prefix}:` })
    }
  },
  {
    name: 'nats',
    skip: skipNats,
    open: async (t: Test) => { const { url } = await startNats(t); return (prefix: string) => nats({ url, prefix }) }
  }
]) {
  const said = ({ loud }: Running): Array<{ differences: string[] }> => (loud as Array<{
    msg: string
    differences?: string[]
  }>).filter(({ msg }) => msg.includes('declares other rooms')) as Array<{ differences: string[] }>

  t.test(
    `${name}: two apps that declare different rooms under one prefix are told at start what differs, and how to part them`,
    { skip },
    async (t) => {
      const make = await open(t)
      const history = async (size: number): Promise<Running> => await start(t, {
        adapter: make('shop'),
        declare: (app) => { declareChat(app, { history: { size } }) }
      })
      const first = await history(50)
      const twin = await history(50)
      const alone = await start(t, { adapter: make('other'), declare })
      const second = await history(60)
      await until('the second is told', () => said(second).length === 1)
      matchList(t, said(second), [{ differences: [/^chat\/:id has here history of 60 .*; there history of 50 /] }])
      t.match(said(second)[0], { msg: /prefix of its own/ })
      const third = await start(t, {
        adapter: make('shop'),
        declare: (app) => { app.room(lobby, { presence: () => ({ name: 'x' }) }) }
      })
      await until('the third is told of both', () => said(third).length === 2)
      matchList(
        t,
        said(third)[0]!.differences,
        ['crowd/:id is declared here alone', 'chat/:id is declared there alone']
      )
      t.same([first, twin, alone].map(said), [[], [], []])
    }
  )

  t.test(
    `${name}: a node whose hooks, presence or texts are other than those of the node beside it is told at start what differs`,
    { skip },
    async (t) => {
      const make = await open(t)
      const hall = (update: boolean, hooks: object = {}) => (app: Running['app']): void => {
        app.room(defineRoom('hall/:id', { member: Type.Object({ name: Type.String() }) }), {
          presence: { data: () => ({ name: 'x' }), update },
          ...hooks
        })
      }
      const noted = (property: 'text' | 'more') => (app: Running['app']): void => {
        const data = Type.Object({ id: Type.String(), text: Type.String(), more: Type.String() })
        app.room(defineRoom('noted/:id', { events: { note: { data, delivery: 'append', key: 'id', append: property } } }))
      }
      const declareWith = (...each: Array<(app: Running['app']) => void>) => (app: Running['app']): void => {
        for (const one of each) one(app)
      }
      const none = (): void => {}
      const first = await start(t, {
        adapter: make('shop'),
        onOffline: none,
        declare: declareWith(hall(true, { onVacated: none }), noted('text'))
      })
      const twin = await start(t, {
        adapter: make('shop'),
        onOffline: none,
        declare: declareWith(hall(true, { onVacated: none }), noted('text'))
      })
      const second = await start(t, {
        adapter: make('shop'),
        onOnline: none,
        declare: declareWith(hall(false), noted('more'))
      })
      await until('the second is told', () => said(second).length === 1)
      matchList(t, said(second)[0]!.differences, [
        /^hall\/:id has here .*; presence; there .*; presence that members update; onVacated$/,
        /^noted\/:id has here .*note append by id a text more; .*; there .*note append by id a text text; /,
        'the hook onOnline is declared here alone',
        'the hook onOffline is declared there alone'
      ])
      t.same([first, twin].map(said), [[], []])
    }
  )

  t.test(`${name}: nodes of one app, one after the other and side by side, are told nothing`, { skip }, async (t) => {
    const make = await open(t)
    for (let count = 0; count < 3; count++) {
      const [a, b] = [
        await start(t, { adapter: make('shop'), declare }),
        await start(t, { adapter: make('shop'), declare })
      ]
      await a.app.rooms.broadcast('chat/1', 'typing', { by: 'x' })
      await a.app.close()
      t.same([a.loud, b.loud], [[], []])
    }
  })

  t.test(
    `${name}: a new version that declares more is told of once by each of its nodes, while nodes of the old one are there, and not after them`,
    { skip },
    async (t) => {
      const make = await open(t)
      const old = await start(t, {
        adapter: make('shop'),
        declare: (app) => { app.room(lobby, { presence: () => ({ name: 'x' }) }) }
      })
      const next = await start(t, { adapter: make('shop'), declare })
      await until('the new one is told', () => said(next).length === 1)
      await old.app.close()
      const later = await start(t, { adapter: make('shop'), declare })
      await later.app.rooms.broadcast('chat/1', 'typing', { by: 'x' })
      await (await connect(later, { rooms: [chat.at({ id: '1' }).name], token: later.token('ada') })).fence()
      t.same(said(later), [])
    }
  )
}
