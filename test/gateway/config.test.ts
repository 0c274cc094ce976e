import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import t from 'tap'
import { tryConfig } from '../../lib/gateway/check.js'
import { serve } from '../../lib/gateway/commands/serve.js'
import { ConfigError, lineOf } from '../../lib/gateway/config/faults.js'
import { loadConfig } from '../../lib/gateway/config/load.js'
import { readConfig } from '../../lib/gateway/config/read.js'
import { resolveConfig } from '../../lib/gateway/config/resolve.js'
import { publishedSchema } from '../../lib/gateway/config/schema.js'
import { ROOT } from '../../scripts/matrix/tarball.js'

const SECRET = 'a secret that has at least 32 bytes'
const WHSEC = `${'whsec_'}${Buffer.alloc(32, 7).toString('base64')}`
const Text = { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] }
const API_KEY = 'a-key-of-thirty-two-characters-at-least'
const HOOKS = { url: 'http://127.0.0.1:1/hooks', secret: WHSEC }
const ROOM = { messages: { say: { data: Text, broadcast: 'said' } }, events: { said: { data: Text } } }

interface Config { [key: string]: unknown }

function config (more: Config = {}): Config {
  return { jwt: { secret: SECRET }, rooms: { 'chat/:id': ROOM }, listen: { port: 0 }, ...more }
}

const sources = { env: {}, directory: '.' }

/** Everything that is wrong with a config, as `--check` prints it. */
async function linesOf (value: unknown, env: Record<string, string> = {}): Promise<string[]> {
  try {
    await tryConfig(resolveConfig(value, { ...sources, env }))
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.faults.map(lineOf)
  }
}

t.test('a config in which nothing is wrong passes', async (t) => {
  t.same(await linesOf(config()), [])
  t.same(await linesOf(config({ adapter: { type: 'redis', url: { env: 'BROKER' }, prefix: 'a:', timeout: 100 } }), { BROKER: 'redis://a' }), [])
  t.same(await linesOf(config({ adapter: { type: 'nats', replicas: 3, storage: 'memory' } })), [])
  t.same(await linesOf(config({ hooks: HOOKS, rooms: { 'chat/:id': { messages: { say: { data: Text, reply: Text } } } } })), [])
  t.same(await linesOf(config({ rooms: { 'chat/:id': { ...ROOM, member: Text, presence: { claims: ['text'], update: true } } } })), [])
})

/** What is wrong, and the one line that says it. */
const BAD: ReadonlyArray<readonly [string, Config, string | RegExp]> = [
  ['a typo in a name', { limit: { rooms: 3 } }, 'limit: is unknown; did you mean "limits"?'],
  ['two letters that are swapped', { rooms: { 'chat/:id': { ...ROOM, evnets: {} } } }, 'rooms["chat/:id"].evnets: is unknown; did you mean "events"?'],
  ['a name of something else', { rooms: { 'chat/:id': { ...ROOM, members: {} } } }, 'rooms["chat/:id"].members: is unknown; did you mean "member"?'],
  ['a name that is like none', { listen: { address: '::' } }, 'listen.address: is unknown; known here: port, host'],
  ['a typo in a word', { adapter: { type: 'reddis' } }, 'adapter.type: expected "memory" or "redis" or "nats", got "reddis"; did you mean "redis"?'],
  ['a prefix that the broker does not take', { adapter: { type: 'redis', prefix: 'a{b' } }, /^adapter: redis\(\{ prefix \}\)/],
  ['an option of another adapter', { adapter: { type: 'redis', replicas: 3 } }, /^adapter\.replicas: is unknown/],
  ['a broker that is none', { adapter: { type: 'redis', url: 'http://a' } }, 'adapter.url: is no URL with redis: or rediss:, such as redis://127.0.0.1'],
  ['a port that is none', { listen: { port: 70_000 } }, 'listen.port: expected a whole number from 0 to 65535, got 70000'],
  ['a number as a text', { capacity: '10' }, 'capacity: expected a whole number from 1 on, got "10"'],
  ['no rooms', { rooms: {} }, /^rooms: is empty: give The rooms by their name patterns/],
  ['a secret that is too short', { jwt: { secret: 'short' } }, 'jwt.secret: is too short: it has 5 bytes and needs 32 at least; make one by: openssl rand -base64 32'],
  ['a secret that is not there', { jwt: { secret: { env: 'NO_SUCH' } } }, 'jwt.secret: the environment variable NO_SUCH is not set'],
  ['a file that is not there', { jwt: { publicKey: { file: 'no.pem' } } }, 'jwt.publicKey: the file no.pem cannot be read (ENOENT)'],
  ['nothing to verify by', { jwt: {} }, 'jwt: says nothing to verify tokens by: give secret, publicKey or jwks'],
  ['two things to verify by', { jwt: { secret: SECRET, jwks: 'https://a' } }, 'jwt: takes one of secret, publicKey and jwks, not secret and jwks'],
  ['a key that is none', { jwt: { publicKey: 'abc' } }, 'jwt.publicKey: is no public key in PEM: it begins with -----BEGIN PUBLIC KEY-----'],
  ['an algorithm for other keys', { jwt: { secret: SECRET, algorithms: ['RS256'] } }, /^jwt\.algorithms: RS256 is no algorithm for secret/],
  ['a secret in place of the object', { jwt: 'a secret in the wrong place' }, /^jwt: expected .*, got a text$/],
  ['a secret of hooks that is too short', { hooks: { ...HOOKS, secret: 'whsec_c2hvcnQ=' } }, /^hooks\.secret: is too short: it has 5 bytes and needs 24/],
  ['hooks that take longer than anybody waits', { hooks: { ...HOOKS, timeout: 40_000, on: ['message'] } }, /^hooks\.timeout: 40000 is not below timeouts\.handler/],
  ['a share of a user that is more than all', { hooks: { ...HOOKS, concurrency: 4, perUser: 5 } }, 'hooks.perUser: 5 is above concurrency (4), of which it is a share'],
  ['a hook that there is not', { hooks: { ...HOOKS, on: ['autorize'] } }, /^hooks\.on\[0\]: expected .*did you mean "authorize"\?$/],
  ['a short token of scrapers', { stats: { token: 'x' } }, /^stats\.token: is too short/],
  ['a token that no header can carry', { stats: { token: SECRET } }, /^stats\.token: has characters that no bearer token has/],
  ['a key of the server API that is too short', { api: { keys: [{ key: 'x', name: 'a', rooms: ['*'], may: ['publish'] }] } }, /^api\.keys\[0\]\.key: is too short/],
  ['a scope that there is not', { api: { keys: [{ key: API_KEY, name: 'a', rooms: ['*'], may: ['publsh'] }] } }, /^api\.keys\[0\]\.may\[0\]: .*did you mean "publish"\?$/],
  ['rooms of a key that are none', { api: { keys: [{ key: API_KEY, name: 'a', rooms: ['a*b'], may: ['read'] }] } }, /^api\.keys\[0\]\.rooms: "a\*b" is no name of rooms/],
  ['a key for rooms that there are not', { api: { keys: [{ key: API_KEY, name: 'a', rooms: ['orders/*'], may: ['read'] }] } }, /^api\.keys: the key "a" is for the rooms "orders\/\*", which no declared room can be/],
  ['a message of users that nobody handles', { hooks: HOOKS, rooms: { '@user/:id': { messages: { say: { data: Text } } } } }, 'rooms["@user/:id"].messages: nobody can send to these rooms: declare the messages of a room of your own'],
  ['a message that nobody handles', { rooms: { 'chat/:id': { messages: { say: { data: Text } } } } }, 'rooms["chat/:id"].messages.say: nobody handles it: add "broadcast": "<event>", or hooks with "message"'],
  ['an event that is not declared', { rooms: { 'chat/:id': { ...ROOM, events: {} } } }, 'rooms["chat/:id"].messages.say.broadcast: the room has no event "said"; it has none'],
  ['a schema in place of what holds it', { rooms: { 'chat/:id': { events: { said: Text } } } }, 'rooms["chat/:id"].events.said: is a schema by itself: write { "data": <the schema> }'],
  ['a schema that is missing', { rooms: { 'chat/:id': { events: { said: { key: 'id' } } } } }, /^rooms\["chat\/:id"\]\.events\.said\.data: is missing: A JSON Schema/],
  ['a schema that cannot work', { rooms: { 'chat/:id': { events: { said: { data: { type: 'strnig' } } } } } }, /^rooms\["chat\/:id"\]\.events\.said: .*strnig/],
  ['a schema whose check has no bound', {
    rooms: { 'chat/:id': { ...ROOM, messages: { say: { data: { type: 'object', properties: { text: { type: 'string', pattern: '^a*$' } } }, broadcast: 'said' } } } }
  }, /^rooms\["chat\/:id"\]\.messages\.say: .*maxLength/],
  ['a pattern that is none', { rooms: { 'chat//:id': ROOM } }, /^rooms\["chat\/\/:id"\]: a slash too many/],
  ['a name that the protocol has', { rooms: { 'chat/:id': { events: { welcome: { data: Text } } } } }, /^rooms\["chat\/:id"\]\.events\.welcome: the name is a frame type/],
  ['bounds that contradict each other', { limits: { event: 2_000_000 } }, /^limits\.event: ?\(2000000\) must be below limits\.outbox/],
  ['an origin with a path', { origins: ['https://a.example/'] }, /^origins: .*is not an origin/],
  ['the cookie without its name', { auth: { carriers: ['cookie'] }, origins: 'same' }, /^auth\.cookie: name the cookie/],
  ['a member without data', { rooms: { 'chat/:id': { ...ROOM, member: Text } } }, /^rooms\["chat\/:id"\]\.member: needs presence/],
  ['claims that nobody would see', { rooms: { 'chat/:id': { ...ROOM, presence: { claims: ['name'] } } } }, /^rooms\["chat\/:id"\]\.presence: needs member.*"presence": true/],
  ['an update of nothing', { rooms: { 'chat/:id': { ...ROOM, presence: { claims: [], update: true } } } }, /^rooms\["chat\/:id"\]\.presence: needs member/]
]

for (const [what, more, line] of BAD) {
  t.test(`one line says what is wrong and how to mend it: ${what}`, async (t) => {
    const lines = await linesOf(config(more))
    t.equal(lines.length, 1, lines.join('\n'))
    t.match(lines[0], typeof line === 'string' ? new RegExp(`^${line.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`) : line)
  })
}

t.test('everything that is wrong is told at once', async (t) => {
  const lines = await linesOf(config({ jwt: { secret: 5, isuer: 'a' }, prefx: '/ws', rooms: { a: { event: {} }, b: { capacity: 0 } } }))
  t.equal(lines.length, 5, lines.join('\n'))
})

t.test('a port that is taken is told, and a free one is free again', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  t.same(await linesOf(config({ listen: { port } })), [
    `listen.port: ${port} is taken on 127.0.0.1: choose another one, or end the process that has it`
  ])
  server.close()
  await once(server, 'close')
  t.same(await linesOf(config({ listen: { port } })), [])
  t.same(await linesOf(config({ listen: { port } })), [])
})

t.test('what is wrong with a config only at the start is told by its path there, too', async (t) => {
  const keys = [{ key: API_KEY, name: 'a', rooms: ['orders/*'], may: ['read'] }]
  await t.rejects(serve(resolveConfig(config({ api: { keys }, log: { level: 'silent' } }), sources)), {
    message: /^api\.keys: the key "a" is for the rooms "orders\/\*"/
  })
})

t.test('no text that may be a secret stands in what is said', async (t) => {
  for (const more of [{ jwt: SECRET }, { jwt: { secret: [SECRET] } }, { stats: SECRET }, { hooks: { url: 'a', secret: { value: SECRET } } }]) {
    t.notMatch((await linesOf(config(more))).join('\n'), SECRET)
  }
})

t.test('the config that its page shows is fine', async (t) => {
  const [, text] = /```json\n([^]*?)\n```/.exec(readFileSync(`${ROOT}docs/guides/gateway.md`, 'utf8'))!
  t.same(await linesOf({ ...JSON.parse(text!) as Config, listen: { port: 0 } }, { JWT_SECRET: SECRET }), [])
})

t.test('secrets come from variables and files', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'gateway-'))
  t.teardown(async () => { await rm(directory, { recursive: true }) })
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256', publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } })
  await writeFile(join(directory, 'public.pem'), publicKey)
  const of = (jwt: object): unknown => resolveConfig(config({ jwt }), { env: { SECRET }, directory }).verification
  t.match(of({ secret: { env: 'SECRET' } }), { kind: 'secret', key: SECRET })
  t.match(of({ publicKey: { file: 'public.pem' } }), { kind: 'public', key: publicKey.trimEnd() })
})

t.test('a config is read from JSON, YAML and modules, and each says where it is wrong', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'gateway-'))
  t.teardown(async () => { await rm(directory, { recursive: true }) })
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text)
    return join(directory, name)
  }
  const whole = { listen: { port: 1 } }
  t.same(await loadConfig(await write('a.json', JSON.stringify(whole))), whole)
  t.same(await loadConfig(await write('a.yaml', 'listen:\n  port: 1\n')), whole)
  t.same(await loadConfig(await write('a.yml', JSON.stringify(whole))), whole, 'JSON is YAML')
  t.same(await loadConfig(await write('a.mjs', `export default ${JSON.stringify(whole)}`)), whole)
  for (const [name, text, says] of [
    ['b.json', '{\n  "a": 1,\n  b: 2\n}', /b\.json:3:3: not JSON/],
    ['b.yaml', 'a: 1\nb: [1, 2\nc: 3\n', /b\.yaml:\d+:\d+: not YAML/],
    ['b.mjs', 'export const a = 1', /b\.mjs has no default export/],
    ['c.mjs', 'export default {', /c\.mjs cannot be loaded/],
    ['b.toml', 'a = 1', /a config is a file named \.json, \.yaml, \.js or \.ts/]
  ] as const) {
    await t.rejects(loadConfig(await write(name, text)), { message: says }, name)
  }
  for (const name of ['none.json', 'none.mjs']) {
    await t.rejects(loadConfig(join(directory, name)), { message: /none\.\w+ is not there: give the path/ })
  }
  const path = await write('whole.json', JSON.stringify(config({ listen: { port: 1 } })))
  t.match(await readConfig(path, {}, { port: 2, host: '::1' }), { listen: { port: 2, host: '::1' } })
})

t.test('the published schema is the one of the parser', async (t) => {
  t.equal(readFileSync(`${ROOT}realtime.schema.json`, 'utf8'), publishedSchema(), 'npm run schema')
  const check = new Ajv({ strict: false, allErrors: true }).compile(JSON.parse(publishedSchema()) as object)
  t.ok(check(config({ hooks: HOOKS })))
  for (const [what, more] of BAD.slice(0, 5)) t.notOk(check(config(more)), what)
})
