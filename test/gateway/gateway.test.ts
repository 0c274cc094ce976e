import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, SignJWT } from 'jose'
import { generate } from 'selfsigned'
import t, { type Test } from 'tap'
import { resolveConfig } from '../../lib/gateway/config/resolve.js'
import { createGateway } from '../../lib/gateway/gateway.js'
import { verifyByKeySet } from '../../lib/gateway/jwks.js'
import { createPeer } from '../../lib/testing/index.js'
import { missing, startNats, startRedis } from '../helpers/servers.js'

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

async function tokenOf (claims: object = {}, kid = 'one', key = privateKey): Promise<string> {
  const exp = Math.floor(Date.now() / 1_000) + 60
  return await new SignJWT({ sub: 'ada', iss: 'login', exp, ...claims }).setProtectedHeader({ alg: 'ES256', kid })
    .sign(key)
}

/** A server of keys, which counts how often it is asked. */
async function startKeys (t: Test): Promise<{ url: string, asked: () => number, fail: () => void }> {
  const keys = [{ ...await exportJWK(publicKey), kid: 'one', alg: 'ES256' }]
  let asked = 0
  let status = 200
  const server = createServer((_request, response) => {
    asked++
    response.writeHead(status).end(JSON.stringify({ keys }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`
  return { url, asked: () => asked, fail: () => { status = 500 } }
}

const LOGIN = { kind: 'jwks', issuer: 'login', audience: undefined, algorithms: undefined } as const

t.test('tokens are verified by the keys of a URL, of which strangers cause one question', async (t) => {
  const { url, asked } = await startKeys(t)
  const verify = await verifyByKeySet({ ...LOGIN, url }, 1_000)
  t.match(await verify({}, await tokenOf()), { sub: 'ada' })
  t.equal(await verify({}, undefined), null)
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const wrong = [
    'no token', await tokenOf({ iss: 'somebody' }), await tokenOf({ exp: 1 }), await tokenOf({}, 'one', other),
    ...await Promise.all(['two', 'three', 'four'].map(async (kid) => await tokenOf({}, kid)))
  ]
  for (const token of wrong) {
    const error = await verify({}, token).catch((error: unknown) => error as { statusCode?: number, message: string })
    t.match(error, { statusCode: 401 })
    t.notMatch((error as Error).message, token)
  }
  t.equal(asked(), 1)
})

t.test('keys that cannot be had are no fault of the token', async (t) => {
  const { url, fail } = await startKeys(t)
  fail()
  const verify = await verifyByKeySet({ ...LOGIN, url }, 1_000)
  const token = await tokenOf()
  const error = await verify({}, token).catch((error: unknown) => error)
  t.ok(error instanceof Error)
  t.notOk('statusCode' in (error as Error), 'the plugin answers unavailable')
})

t.test('a gateway with TLS lets in whom the public key, the origin and the claim of the room allow', async (t) => {
  const pair = await generate([{ name: 'commonName', value: 'localhost' }])
  const app = await createGateway(resolveConfig({
    jwt: { publicKey: { env: 'PUBLIC' }, issuer: 'login' },
    tls: { key: { env: 'KEY' }, cert: { env: 'CERT' } },
    origins: ['https://app.example.com'],
    rooms: { 'chat/:id': { authorize: { claim: 'rooms' } } }
  }, {
    env: { PUBLIC: publicKey.export({ type: 'spki', format: 'pem' }) as string, KEY: pair.private, CERT: pair.cert },
    directory: '.'
  }), { logger: false })
  t.teardown(async () => { await app.close() })
  const ask = async (claims: object, origin = 'https://app.example.com'): Promise<{ status: number, cors: unknown }> => {
    const { statusCode: status, headers } = await app.inject({
      url: '/ws/chat/1?verdict=1', headers: { origin, authorization: `Bearer ${await tokenOf(claims)}` }
    })
    return { status, cors: headers['access-control-allow-origin'] }
  }
  t.same(await ask({ rooms: ['chat/1'] }), { status: 200, cors: 'https://app.example.com' })
  t.same((await ask({ rooms: ['news/1', 'chat/*'] })).status, 200)
  for (const rooms of [['chat/2'], ['*/1'], 'chat/1', undefined]) t.equal((await ask({ rooms })).status, 403)
  t.equal((await ask({ rooms: ['chat/1'], iss: 'somebody' })).status, 401)
  t.equal((await ask({ rooms: ['chat/1'] }, 'https://evil.example.com')).status, 403)
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.ok(app.listeningOrigin.startsWith('https://'))
})

const KEY = 'a-key-of-thirty-two-characters-at-least'

const BROKERS = [
  { type: 'redis', program: 'redis-server', begin: startRedis }, { type: 'nats', program: 'nats-server', begin: startNats }
] as const

for (const { type, program, begin } of BROKERS) {
  t.test(`an event that one gateway publishes is heard at another: ${type}`, { skip: missing(program) }, async (t) => {
    const broker = await begin(t)
    const settings = resolveConfig({
      jwt: { secret: 'a secret that has at least 32 bytes' },
      adapter: { type, url: { env: 'BROKER' } },
      api: { keys: [{ key: KEY, name: 'test', rooms: ['*'], may: ['publish'] }] },
      rooms: { 'chat/:id': { events: { said: { data: { type: 'object', properties: { text: { type: 'string' } } } } } } }
    }, { env: { BROKER: broker.url }, directory: '.' })
    const start = async (): ReturnType<typeof createGateway> => {
      const app = await createGateway(settings, { logger: false })
      t.teardown(async () => { await app.close() })
      await app.ready()
      return app
    }
    const [one, other] = await Promise.all([start(), start()])
    const token = other.jwt.sign({ sub: 'ada' } as object, { expiresIn: '1m' })
    const peer = await createPeer(other, { room: 'chat/1', token })
    const { statusCode } = await one.inject({
      method: 'POST',
      url: '/ws/api/publish',
      headers: { authorization: `Bearer ${KEY}` },
      payload: { room: 'chat/1', event: 'said', data: { text: 'hello' } }
    })
    t.equal(statusCode, 200)
    t.match(await peer.next('said'), { data: { text: 'hello' } })
  })
}
