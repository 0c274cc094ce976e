import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { isShared } from '../../lib/server/addresses.js'
import { connect, type Client, type ConnectOptions } from '../../lib/client/index.js'
import { resolveOptions } from '../../lib/options/resolve.js'
import { ask } from '../helpers/ask.js'
import { matchList } from '../helpers/match-list.js'
import { declareChat, start, type Running, type StartOptions } from '../helpers/net.js'
import { handshake, RawPeer, until } from '../helpers/raw.js'
import { startNginx } from '../helpers/servers.js'

const NEVER = new Promise<never>(() => {})

/**
 * A server whose authentication takes a while, as one that asks a database does.
 *
 * @param onAsked called when it begins
 */
async function slow (
  t: Test,
  wait: number | undefined,
  options: StartOptions = {},
  onAsked: () => void = () => {}
): Promise<Running> {
  return await start(t, {
    ...options,
    fastify: { logger: false, ...options.fastify },
    authenticate: async (request, token) => {
      onAsked()
      await (wait === undefined ? NEVER : delay(wait))
      return token === undefined ? null : request.server.jwt.verify(token)
    }
  })
}

interface Herd { readonly clients: Client[], readonly errors: Record<string, number> }

function herd (t: Test, size: number, url: string, token: Running['token'], options: ConnectOptions = {}): Herd {
  const errors: Record<string, number> = {}
  const clients = Array.from({ length: size }, (_, i) => {
    const client = connect(`${url}/ws`, { token: token(`user-${i}`), WebSocket, ...options })
    client.on('error', ({ code = '?' }) => { errors[code] = (errors[code] ?? 0) + 1 })
    return client
  })
  t.teardown(() => { for (const client of clients) client.close() })
  return { clients, errors }
}

async function transportsOf ({ app }: Running): Promise<Record<string, number>> {
  const { connections } = await app.rooms.stats() as { connections: { transports: Record<string, number> } }
  return connections.transports
}

async function allOpen ({ clients, errors }: Herd, ms: number): Promise<void> {
  await until('all clients are open', () => clients.every(({ state }) => state === 'open') ? true : undefined, ms, () =>
    `${clients.filter(({ state }) => state === 'open').length} of ${clients.length}, errors ${JSON.stringify(errors)}`)
}

t.test('300 clients that come at once behind a proxy, each authenticated in 300 ms, all get a WebSocket', async (t) => {
  const server = await slow(t, 300)
  const nginx = await startNginx(t, server.port)
  const clients = herd(t, 300, nginx.url, server.token)
  await allOpen(clients, 20_000)
  t.match(await transportsOf(server), { websocket: 300, sse: 0, polling: 0 })
  t.same(clients.errors, {}, 'none was refused')
})

t.test(
  'clients beyond the upgrades that may be under way come back on the same transport until they have one',
  async (t) => {
    const server = await slow(t, 100, { limits: { pending: { total: 10 } } })
    const clients = herd(t, 40, server.url, server.token)
    await allOpen(clients, 30_000)
    t.match(await transportsOf(server), { websocket: 40, sse: 0, polling: 0 })
    t.ok(clients.errors.server_full! > 0, 'some were refused')
    t.same(Object.keys(clients.errors), ['server_full'])
  }
)

t.test('upgrades under way are counted by the address that trustProxy gives', async (t) => {
  let asked = 0
  const server = await slow(t, undefined, {
    fastify: { trustProxy: '127.0.0.1' },
    limits: { pending: { address: 2 } }
  }, () => { asked++ })
  const token = server.token('ada')
  const upgrade = (forwarded?: string, host?: string): RawPeer => {
    const peer = new RawPeer(server.port, '127.0.0.1', host)
    t.teardown(() => { peer.destroy() })
    return peer.send(handshake('/ws/chat/1', {
      headers: {
        authorization: `Bearer ${token}`,
        ...(forwarded === undefined ? {} : { 'x-forwarded-for': forwarded })
      }
    }))
  }
  const held: RawPeer[] = []
  for (const forwarded of ['203.0.113.7', '198.51.100.1, 203.0.113.7', '203.0.113.8', '10.0.0.9', '10.0.0.9']) {
    held.push(upgrade(forwarded))
  }
  for (const none of [undefined, undefined, undefined]) held.push(upgrade(none))
  await until('all are under way', () => asked === held.length)
  const refused = await Promise.all(['203.0.113.7', '10.0.0.9'].map(async (each) => await upgrade(each).answered()))
  t.same(
    refused.map(({ status, body }) => [status, (JSON.parse(body) as { code: string }).code]),
    [[429, 'address_limit'], [429, 'address_limit']]
  )
  const untrusted = [1, 2, 3].map(() => upgrade('203.0.113.7', '127.0.0.2'))
  await until('they are under way, too', () => asked === held.length + untrusted.length)
  t.same(
    [...held, ...untrusted].filter(({ answer }) => answer !== undefined),
    [],
    'another client, one of whom no proxy speaks, and one whose word is not trusted stand'
  )
})

t.test('the verdict speaks for the guard of upgrades: same code, same retryAfter, once for each refusal', async (t) => {
  let begun = 0
  const server = await slow(t, 0, {
    limits: { pending: { total: 1 } },
    route: {
      onRequest: async (request) => {
        if (!request.ws) return
        begun++
        await NEVER
      }
    }
  })
  const token = server.token('ada')
  const held = new RawPeer(server.port).send(handshake('/ws/chat/1'))
  t.teardown(() => { held.destroy() })
  await until('it is under way', () => begun > 0)
  const refused = await Promise.all([1, 2].map(async () => await ask(server, 'websocket', { token })))
  for (const { status, body } of refused) matchList(t, [status, body.code], [503, 'server_full'])
  held.destroy()
  const told = [
    await ask(server, 'verdict', { token }),
    await ask(server, 'verdict', { token }),
    await ask(server, 'verdict', { token })
  ]
  t.same(told.map(({ status }) => status), [503, 503, 200])
  t.match(told[0]!.body, { code: 'server_full', retry: 'backoff', retryAfter: refused[1]!.body.retryAfter as number })
  t.ok(Number(told[0]!.headers['retry-after']) >= 1)
})

t.test('the verdict is what the upgrade was told, also where another look would find otherwise', async (t) => {
  const state = { isAway: true }
  const server = await start(t, {
    declare: declareChat,
    authenticate: (request, token) => {
      if (state.isAway) throw new Error('the database is away')
      return token === undefined ? null : request.server.jwt.verify(token)
    }
  })
  const token = server.token('ada')
  const refused = await ask(server, 'websocket', { token })
  matchList(t, [refused.status, refused.body.code], [503, 'unavailable'])
  state.isAway = false
  const elsewhere = await ask(server, 'verdict', { token, path: '/ws/chat/2' })
  const other = await ask(server, 'verdict', { token: server.token('bob') })
  const own = await ask(server, 'verdict', { token })
  t.same([elsewhere.status, other.status, own.status, own.body.code], [200, 200, 503, 'unavailable'])
})

t.test(
  'the verdict judges the origin that the upgrade judged, though a page of the same origin says none in a GET',
  async (t) => {
    const server = await start(t, { origins: ['https://app.example.com'] })
    const token = server.token('ada')
    const verdict = async (query: string, headers: Record<string, string> = {}): Promise<unknown[]> => {
      const { status, body } = await ask(server, 'verdict', {
        token,
        path: `/ws/chat/1${query}`,
        headers: { 'sec-fetch-site': 'same-origin', ...headers }
      })
      return status === 200 ? [200] : [status, body.code, body.retry]
    }
    const refused = [403, 'origin_refused', 'never']
    t.same(await verdict(''), [200], 'one who says nothing')
    t.same(await verdict('?origin=https%3A%2F%2Fevil.example.com'), refused, 'as our client says it, on whatever node')
    t.same(await verdict('?origin=null'), refused)
    t.same(await verdict('?origin=https%3A%2F%2Fapp.example.com'), [200])
    t.same(await verdict('', { referer: 'https://evil.example.com/page?x=1' }), refused, 'as the referrer tells')
    t.same(await verdict('', { referer: 'https://app.example.com/page' }), [200])
    t.same(
      await verdict('?origin=https%3A%2F%2Fevil.example.com', { origin: 'https://app.example.com' }),
      [200],
      'the header comes first'
    )
    const upgrade = await ask(server, 'websocket', { token, headers: { origin: 'https://evil.example.com' } })
    t.same([upgrade.status, upgrade.body.code], [403, 'origin_refused'])
    t.same(await verdict(''), refused, 'or as the upgrade of the same client was refused')
    const poll = await ask(server, 'polling', { token, path: '/ws/chat/1?origin=https%3A%2F%2Fevil.example.com' })
    t.equal(poll.status, 200, 'nobody else is asked')
  }
)

t.test('limits.pending is checked', async (t) => {
  for (const pending of [{ total: 0 }, { address: -1 }, { total: 1.5 }, { total: '5' }, { totel: 5 }, 5]) {
    t.throws(
      () => resolveOptions({ limits: { pending } } as never),
      { code: 'REALTIME_ERR_OPTIONS' },
      JSON.stringify(pending)
    )
  }
  t.same(resolveOptions({ limits: { pending: { total: 5 } } }).limits.pending, { total: 5, address: 64 })
})

t.test('a peer of this machine or of a private network is one client only where a proxy says so', async (t) => {
  for (const peer of [
    '127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '10.1.2.3', '::ffff:10.1.2.3', '172.16.0.1', '172.31.255.255',
    '192.168.1.1', '169.254.1.1', '100.64.0.1', 'fd00::1', 'fe80::1%eth0'
  ]) {
    t.equal(isShared(peer, peer), true, peer)
    t.equal(isShared(peer, '203.0.113.9'), false, `${peer}, as a proxy says`)
  }
  for (const peer of ['203.0.113.7', '172.32.0.1', '11.0.0.1', '2001:db8::1', '::ffff:203.0.113.7', '100.128.0.1']) {
    t.equal(isShared(peer, peer), false, peer)
  }
})
