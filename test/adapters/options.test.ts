import Fastify from 'fastify'
import t from 'tap'
import { cluster, hostCluster } from '../../lib/adapters/cluster/index.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import realtime from '../../lib/index.js'
import { createPeer } from '../../lib/testing/index.js'
import { start } from '../helpers/net.js'

type Make = (options: never) => unknown

const WRONG: Array<[string, Make, object, RegExp]> = [
  ['nats', nats, { servers: ['nats.example.com:4222'] }, /servers is no option; did you mean "url"\?/],
  ['nats', nats, { jetsream: true }, /did you mean "jetstream"\?/],
  ['nats', nats, { url: 4222 }, /options of nats\(\)\.url/],
  ['nats', nats, { url: [] }, /options of nats\(\)\.url/],
  ['nats', nats, { replicas: 0 }, /options of nats\(\)\.replicas: .*got 0/],
  ['nats', nats, { storage: 'disk' }, /options of nats\(\)\.storage/],
  ['nats', nats, { timeout: Infinity }, /options of nats\(\)\.timeout/],
  ['redis', redis, { uri: 'redis://redis.example.com:6379' }, /uri is no option; did you mean "url"\?/],
  ['redis', redis, { timeout: '2s' }, /options of redis\(\)\.timeout: .*got "2s"/],
  ['redis', redis, { timeout: Number.NaN }, /options of redis\(\)\.timeout/],
  ['redis', redis, { timeout: 2 ** 31 }, /options of redis\(\)\.timeout/],
  ['redis', redis, { idempotency: 0 }, /options of redis\(\)\.idempotency/],
  ['redis', redis, { cluster: [{ host: 'a' }] }, /options of redis\(\)\.cluster\.0\.port/],
  ['redis', redis, { sentinels: { name: 'main', node: [] } }, /options of redis\(\)\.sentinels/],
  ['redis', redis, { keyPrefix: 'a:' }, /did you mean "prefix"\?/],
  ['redis', redis, { password: 'x' }, /password is no option; known here: .*settings/],
  ['cluster', cluster, { nam: 'app' }, /did you mean "name"\?/],
  ['cluster', cluster, { prefix: 'app' }, /options of cluster\(\)\.prefix is no option; did you mean "name"\?/],
  ['cluster', cluster, { bytes: 1_000 }, /did you mean "historyBytes"\?/],
  ['cluster', cluster, { workers: 4 }, /workers is no option; known here: .*historyBytes/],
  ['cluster', cluster, { name: '' }, /options of cluster\(\)\.name/],
  ['cluster', cluster, { name: 'x'.repeat(65) }, /options of cluster\(\)\.name/],
  ['cluster', cluster, { timeout: '2s' }, /options of cluster\(\)\.timeout: .*got "2s"/],
  ['cluster', cluster, { timeout: Infinity }, /options of cluster\(\)\.timeout/],
  ['cluster', cluster, { calls: 0 }, /options of cluster\(\)\.calls: .*got 0/],
  ['hostCluster', hostCluster, { historyBytes: 1_000 }, /options of hostCluster\(\)\.historyBytes is no option; did you mean "bytes"\?/],
  ['hostCluster', hostCluster, { waiting: -1 }, /options of hostCluster\(\)\.waiting/],
  ['hostCluster', hostCluster, { waitin: 1 }, /did you mean "waiting"\?/],
  ['hostCluster', hostCluster, { remembered: { bytes: 1 } }, /options of hostCluster\(\)\.remembered/],
  ['hostCluster', hostCluster, { now: Date.now }, /now is no option; known here: /],
  ['memory', memory, { byte: 1 }, /did you mean "bytes"\?/],
  ['memory', memory, { constructor: 1 }, /constructor is no option; known here: /],
  ['memory', memory, { maxBytes: 1 }, /did you mean "bytes"\?/],
  ['memory', memory, { bytes: -1 }, /options of memory\(\)\.bytes/],
  ['memory', memory, { idempotency: 1e12 }, /options of memory\(\)\.idempotency/]
]

for (const [name, make, options, says] of WRONG) {
  t.test(
    `an option of ${name}() that is unknown or wrong is refused with its path: ${JSON.stringify(options)}`,
    async (t) => {
      t.throws(() => make(options as never), { code: 'REALTIME_ERR_OPTIONS', message: says })
    }
  )
}

t.test('options that are right, or undefined, are taken', async (t) => {
  t.doesNotThrow(() => memory({
    bytes: 1_000_000,
    idempotency: 1_000,
    remembered: { bytes: 1_000, perUser: 100 },
    now: Date.now
  }))
  t.doesNotThrow(() => memory())
  t.doesNotThrow(() => cluster({ name: 'app', timeout: 500, calls: 100, historyBytes: 1_000_000 }))
  t.doesNotThrow(() => cluster({ name: undefined } as never))
  t.doesNotThrow(() => nats({
    url: ['nats://a:4222', 'nats://b:4222'],
    prefix: 'app',
    replicas: 3,
    storage: 'memory',
    settings: { user: 'ada' },
    timeout: 500
  }))
  t.doesNotThrow(() => nats({ url: undefined } as never))
})

t.test('an option of createPeer() that is unknown or wrong is refused with its path', async (t) => {
  const { app } = await start(t)
  for (const [options, says] of [
    [{ tokn: 'x' }, /did you mean "token"\?/],
    [{ transport: 'websockets' }, /options of createPeer\(\)\.transport/],
    [{ room: 7 }, /options of createPeer\(\)\.room/]
  ] as const) {
    await t.rejects(createPeer(app, options as never), { code: 'REALTIME_ERR_OPTIONS', message: says })
  }
})

t.test('createPeer() of an app that does not know the plugin says where it has to be registered', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(async (scope) => { await scope.register(realtime, { jwt: { secret: 'of one scope' } }) })
  for (const transport of ['websocket', 'sse', 'polling'] as const) {
    await t.rejects(createPeer(app, { transport, prefix: '/ws' }), {
      code: 'REALTIME_ERR_PLUGIN',
      message: /give it the instance on which fastify-realtime is registered/
    })
  }
})
