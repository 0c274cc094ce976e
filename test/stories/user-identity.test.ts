import t from 'tap'
import { createPeer } from '../../lib/testing/index.js'
import { ask, WAYS } from '../helpers/ask.js'
import { matchList } from '../helpers/match-list.js'
import { declareChat, inbox, start, type Running } from '../helpers/net.js'

/** Tokens are what they stand for, so that a user can be what JSON cannot say. */
async function whoever (
  t: Parameters<typeof start>[0],
  users: Readonly<Record<string, unknown>>,
  more: object = {}
): Promise<Running> {
  return await start(t, {
    authenticate: (_request, token) => users[token ?? ''] as never ?? null,
    declare: (app) => {
      declareChat(app, { presence: true })
      app.room(inbox)
    },
    ...more
  })
}

const NOW = Math.floor(Date.now() / 1_000)

t.test('an expiry is a time that a Date can be, or the credential is refused on every way in', async (t) => {
  const exps: Record<string, [exp: unknown, code?: string]> = {
    soon: [NOW + 60],
    fraction: [NOW + 60.123456],
    'far away': [8.64e12],
    'beyond a Date': [8.64e12 + 1, 'unauthorized'],
    'a large number': [1e308, 'unauthorized'],
    infinite: [Infinity, 'unauthorized'],
    'minus infinite': [-Infinity, 'unauthorized'],
    'no number': [NaN, 'unauthorized'],
    text: [String(NOW + 60), 'unauthorized'],
    bigint: [BigInt(NOW + 60), 'unauthorized'],
    boolean: [true, 'unauthorized'],
    date: [new Date(Date.now() + 60_000), 'unauthorized'],
    object: [{}, 'unauthorized'],
    none: [undefined, 'unauthorized'],
    null: [null, 'unauthorized'],
    zero: [0, 'token_expired'],
    negative: [-1, 'token_expired'],
    'a large negative number': [-1e308, 'token_expired'],
    past: [NOW - 60, 'token_expired']
  }
  const names = Object.keys(exps)
  const server = await whoever(
    t,
    Object.fromEntries(names.map((name, i) => [String(i), { sub: `user-${i}`, exp: exps[name]![0] }]))
  )
  for (const [i, name] of names.entries()) {
    const [exp, code] = exps[name]!
    for (const way of WAYS) {
      const { status, body } = await ask(server, way, { token: String(i) })
      if (code === undefined) t.ok(status === 101 || status === 200, `${name} by ${way}: ${status}`)
      else t.same([status, body.code], [401, code], `${name} by ${way}`)
    }
    const ticket = await server.app.inject({
      method: 'POST',
      url: '/ws/ticket',
      headers: { authorization: `Bearer ${i}` }
    })
    t.equal(ticket.statusCode, code === undefined ? 200 : 401, `${name} by a ticket`)
    if (code !== undefined) continue
    const peer = await createPeer(server.app, { token: String(i) })
    t.equal(
      (peer.welcome.data as { expires: number }).expires,
      Math.floor(exp as number * 1_000),
      'the welcome says whole milliseconds'
    )
    await peer.close()
  }
})

const NAMED = [
  'ada', 'org:ada', 'ada@example.com', 'a b', '鍵'.repeat(27), 'ü', '😀', '...', '-', '__proto__', '/', '%2F',
  'x'.repeat(249), '\u0080'
]
const UNNAMED: readonly unknown[] = [
  '', '.', '..', '\ud800', 'a\udc00b', 'a\u0000', '\n', '\u007f', 'x'.repeat(250), '鍵'.repeat(28), 'ü'.repeat(42),
  undefined, null, 5, {}, ['ada'], true
]

t.test(
  'a user id that makes no room name is refused on every way in, and of no use to the server either',
  async (t) => {
    const server = await whoever(t, Object.fromEntries(UNNAMED.map((sub, i) => [String(i), { sub, exp: NOW + 60 }])))
    for (const [i, sub] of UNNAMED.entries()) {
      const shown = JSON.stringify(sub)?.slice(0, 20) ?? 'undefined'
      for (const way of WAYS) {
        const { status, body } = await ask(server, way, { token: String(i) })
        t.same([status, body.code], [401, 'unauthorized'], `${shown} by ${way}`)
      }
      t.equal(
        (await server.app.inject({
          method: 'POST',
          url: '/ws/ticket',
          headers: { authorization: `Bearer ${i}` }
        })).statusCode,
        401,
        shown
      )
      const { rooms } = server.app
      const calls: Array<() => Promise<unknown>> = [
        () => rooms.sendToUser(sub as string, 'shipped', { order: 'x' }),
        () => rooms.isOnline(sub as string),
        () => rooms.revoke({ user: sub as string }),
        () => rooms.join({ user: sub as string }, 'chat/1')
      ]
      for (const call of calls) {
        await t.rejects(call(), { code: 'REALTIME_ERR_TARGET' }, shown)
      }
    }
  }
)

t.test('every other user id has its room, presence, tickets and cursor', async (t) => {
  const server = await whoever(t, Object.fromEntries(NAMED.map((sub, i) => [String(i), { sub, exp: NOW + 60 }])))
  const { app } = server
  for (const [i, sub] of NAMED.entries()) {
    const headers = { authorization: `Bearer ${i}` }
    for (const transport of ['websocket', 'sse', 'polling'] as const) {
      const peer = await createPeer(app, { token: String(i), room: 'chat/1', transport })
      await app.rooms.sendToUser(sub, 'shipped', { order: transport })
      t.match(await peer.next('shipped'), { room: `@user/${encodeURIComponent(sub)}`, data: { order: transport } })
      t.equal(await app.rooms.isOnline(sub), true)
      await peer.close()
    }
    t.ok((await app.rooms.members('chat/1')).some(({ userId }) => userId === sub))
    const { ticket } = (await app.inject({ method: 'POST', url: '/ws/ticket', headers })).json<{ ticket: string }>()
    t.equal((await ask(server, 'sse', { path: `/ws/chat/1?ticket=${ticket}` })).status, 200)
    const first = (await app.inject({ url: '/ws/chat/1', headers })).json<{ cursor: string }>()
    await app.rooms.sendToUser(sub, 'shipped', { order: 'later' })
    const next = await app.inject({ url: `/ws/chat/1?since=${first.cursor}`, headers })
    matchList(t, next.json(), { resumed: true, frames: [{ type: 'shipped' }] })
  }
})
