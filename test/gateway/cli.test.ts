import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { CliError } from '../../lib/gateway/commands/cli-error.js'
import { publish } from '../../lib/gateway/commands/publish.js'
import { tail } from '../../lib/gateway/commands/tail.js'
import { token } from '../../lib/gateway/commands/token.js'
import { readConfig } from '../../lib/gateway/config/read.js'
import { ROOT } from '../../scripts/matrix/tarball.js'
import { FaultProxy } from '../helpers/fault-proxy.js'
import { matchList } from '../helpers/match-list.js'
import { until } from '../helpers/servers.js'

const CLI = join(ROOT, 'dist/gateway/cli.js')
const skip = existsSync(CLI) ? false : 'dist is not built: npm run build'
const SECRET = 'a secret that has at least 32 bytes'
const Text = { type: 'object', properties: { text: { type: 'string' }, by: { type: 'string' } }, required: ['text'] }
const CONFIG = {
  jwt: { secret: { env: 'SECRET' } },
  listen: { port: 0 },
  rooms: { 'chat/:id': { messages: { say: { data: Text, broadcast: { event: 'said', user: 'by' } } }, events: { said: { data: Text } } } }
}

interface Running {
  readonly lines: string[]
  readonly notes: () => string
  readonly code: Promise<number | null>
  stop (): void
}

/** The command as a shell runs it. */
function run (t: Test, args: readonly string[], env: Record<string, string> = {}): Running {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { PATH: process.env.PATH ?? '', SECRET, ...env }, stdio: ['ignore', 'pipe', 'pipe']
  })
  const lines: string[] = []
  createInterface(child.stdout).on('line', (line) => { lines.push(line) })
  let notes = ''
  child.stderr.on('data', (chunk) => { notes += String(chunk) })
  const code = once(child, 'close').then(([status]) => status as number | null)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await code
  })
  return { lines, notes: () => notes, code, stop: () => { child.kill('SIGTERM') } }
}

async function written (t: Test, config: object, name = 'realtime.json'): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'gateway-'))
  t.teardown(async () => { await rm(directory, { recursive: true }) })
  const path = join(directory, name)
  await writeFile(path, name.endsWith('.json') ? JSON.stringify(config) : asModule(config))
  return path
}

/** With a type of the package, which nobody looks up when the types are taken away. */
function asModule (config: object): string {
  return `import type { GatewayConfig } from 'fastify-realtime/gateway'
const config: GatewayConfig = ${JSON.stringify(config)}
export default config
`
}

async function portOf ({ lines, notes }: Running): Promise<number> {
  const find = (): string | undefined => /listening at http:\/\/127\.0\.0\.1:(\d+)/.exec(lines.join('\n'))?.[1]
  await until(`it listens: ${notes()}`, () => find() !== undefined)
  return Number(find())
}

t.test('the gateway from a shell', { skip }, async (t) => {
  const path = await written(t, CONFIG)

  await t.test('--check says that a config is fine, or one line for each fault with status 1', async (t) => {
    const fine = run(t, ['serve', '--config', path, '--check'])
    const wrong = run(t, ['serve', '--config', await written(t, { ...CONFIG, limit: {}, capacity: 0 }), '--check'])
    t.equal(await fine.code, 0, fine.notes())
    matchList(t, fine.lines, [/realtime\.json is fine: 1 room, to listen at 127\.0\.0\.1:0$/])
    t.equal(await wrong.code, 1)
    t.same(wrong.notes().trimEnd().split('\n'), [
      'limit: is unknown; did you mean "limits"?', 'capacity: expected a whole number from 1 on, got 0'
    ])
  })

  await t.test('a config in TypeScript is read where Node or a loader reads it, else one line says what does', async (t) => {
    const typed = await written(t, CONFIG, 'realtime.mts')
    const loaded = run(t, ['serve', '--config', typed, '--check'], {
      NODE_OPTIONS: `--import ${import.meta.resolve('tsx')}`
    })
    const plain = run(t, ['serve', '--config', typed, '--check'])
    t.equal(await loaded.code, 0, loaded.notes())
    matchList(t, loaded.lines, [/realtime\.mts is fine: 1 room/])
    const isRead = typeof (process.features as { typescript?: string | false }).typescript === 'string'
    t.equal(await plain.code, isRead ? 0 : 1)
    if (!isRead) t.match(plain.notes(), /^\S*realtime\.mts: Node \S+ loads no TypeScript: use Node 22\.18 or newer, or a loader such as NODE_OPTIONS="--import tsx"\n$/)
  })

  await t.test('a command, an option or an argument that is wrong is one line with status 1', async (t) => {
    for (const [args, says] of [
      [['sreve'], 'sreve is no command; did you mean serve?'],
      [['serve', '--cofnig', 'a'], '--cofnig is unknown; did you mean --config?'],
      [['publish', 'chat/1', 'said', '{text}', '--key', 'k'], /^the data is not JSON/],
      [['publish', 'chat/1', 'said', '"a secret key"', '--url', 'http://127.0.0.1:1/a secret key', '--key', 'a secret key'], /\[hidden\]|does not answer/]
    ] as const) {
      const { code, notes } = run(t, args)
      t.equal(await code, 1)
      t.match(notes().trimEnd(), says)
      t.notMatch(notes().trimEnd(), /\n|a secret key/)
    }
  })

  await t.test('what is published is tailed, also behind a break; SIGTERM drains and ends with 0', async (t) => {
    const gateway = run(t, ['serve', '--config', path])
    const port = await portOf(gateway)
    const ada = await token(['ada'], {}, await readConfig(path, { SECRET }))
    const env = { REALTIME_TOKEN: ada, REALTIME_URL: `http://127.0.0.1:${port}/ws` }
    const say = async (text: string): Promise<void> => {
      t.match(await publish(['chat/1', 'say', JSON.stringify({ text })], {}, env), { type: 'ack' })
    }
    const proxy = new FaultProxy(port)
    const url = `http://127.0.0.1:${await proxy.listen()}/ws`
    t.teardown(async () => { await proxy.close() })
    await say('one')
    const tailed = run(t, ['tail', 'chat/1', '--last', '10', '--url', url], { REALTIME_TOKEN: env.REALTIME_TOKEN })
    const texts = (): unknown[] =>
      tailed.lines.map((line) => (JSON.parse(line) as { data: { text: string } }).data.text)
    await until(`it tails: ${tailed.notes()}`, () => tailed.lines.length === 1)
    proxy.cut()
    await say('two')
    await until(`it goes on: ${tailed.notes()}`, () => tailed.lines.length === 2)
    t.same(texts(), ['one', 'two'])
    t.match(JSON.parse(tailed.lines[1]!), { room: 'chat/1', type: 'said', data: { by: 'ada' }, offset: Number })

    const nowhere = { line: async () => undefined, note: () => undefined }
    const refused = tail(['secret/1'], {}, env, nowhere, new AbortController().signal)
    await t.rejects(refused, { message: /^room_unknown: / })

    gateway.stop()
    t.equal(await gateway.code, 0, gateway.notes())
    tailed.stop()
    t.equal(await tailed.code, 0, tailed.notes())
  })
})

/** A server that does as it is told with each request, and keeps what it was asked. */
async function startOther (
  t: Test, answer: (response: ServerResponse) => void
): Promise<{ url: string, asked: string[] }> {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.url!} ${request.headers.authorization!}`)
    answer(response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/ws`, asked }
}

const FOREIGN: ReadonlyArray<readonly [string, (response: ServerResponse) => void, RegExp]> = [
  ['answers with a page', (response) => { response.end('<html>') }, /answered 200 without JSON; is --url right\?$/],
  ['sends elsewhere', (response) => { response.writeHead(302, { location: '/' }).end() }, /leads elsewhere \(302\): give the URL that it leads to as --url$/],
  ['breaks off its answer', (response) => {
    response.writeHead(200, { 'content-length': 9 }).write('{')
    setImmediate(() => { response.destroy() })
  }, /\(UND_ERR_SOCKET\); is --url right\?$/]
]

for (const [what, answer, says] of FOREIGN) {
  t.test(`nothing counts as published by a server that ${what}, and one line says so`, async (t) => {
    const { url } = await startOther(t, answer)
    const error = await publish(['chat/1', 'said', '{}'], { url, key: 'k' }, {}).catch((error: unknown) => error)
    t.ok(error instanceof CliError, String(error))
    t.match((error as Error).message, says)
  })
}

t.test('a credential that is given is used before one of the environment', async (t) => {
  const { url, asked } = await startOther(t, (response) => { response.end('{}') })
  const env = { REALTIME_KEY: 'a-key', REALTIME_TOKEN: 'a-token' }
  await publish(['chat/1', 'say', '{}'], { url, token: 'given' }, env)
  await publish(['chat/1', 'say', '{}'], { url, key: 'given' }, env)
  await publish(['chat/1', 'say', '{}'], { url }, env)
  t.same(asked, ['/ws/chat/1 Bearer given', '/ws/api/publish Bearer given', '/ws/api/publish Bearer a-key'])
})
