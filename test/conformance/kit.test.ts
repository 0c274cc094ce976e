import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createConnection } from 'node:net'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { connect } from '../../lib/client/index.js'
import { runConformance, type ConformanceOptions } from '../../lib/conformance/index.js'
import { Conversation, Stray } from '../../lib/conformance/conversation.js'
import { scriptOf } from '../../lib/conformance/script.js'
import { ScriptedServer } from '../../lib/conformance/server.js'
import { Upgrade } from '../../lib/conformance/socket-link.js'
import { defineRoom } from '../../lib/index.js'
import { behind, until } from '../helpers/client.js'
import { start, statsOf } from '../helpers/net.js'

const conformance = defineRoom('conformance/:id', {
  messages: { heard: Type.Unknown(), lost: Type.Object({}) },
  events: { step: Type.Object({ n: Type.Integer() }) }
})
/** Debian's, which its python3-websockets is for. */
const PYTHON = '/usr/bin/python3'

function lacksPython (): string | false {
  if (spawnSync(PYTHON, ['-c', 'import websockets']).status === 0) return false
  const reason = 'python3-websockets not found on this machine'
  if (process.env.CI !== undefined) throw new Error(`${reason}, and CI must not skip`)
  return reason
}

function all (transport: 'websocket' | 'sse' = 'websocket'): string[] {
  return scriptOf(transport).map(({ title }, index) => `ok ${index + 1} - ${title}`)
}
const URL_OF_ANY_PORT = 'http://127.0.0.1:0/ws'

/** What the kit says of a client, without the two lines before it. */
async function judge (
  begin: (url: string) => void,
  { transport, patience }: Pick<ConformanceOptions, 'transport' | 'patience'> = {}
): Promise<{ isRight: boolean, lines: string[] }> {
  const lines: string[] = []
  const isRight = await runConformance({
    url: URL_OF_ANY_PORT,
    transport,
    print: (line) => { lines.push(line) },
    ready: begin,
    watched: 2_000,
    patience
  })
  return { isRight, lines: lines.slice(1) }
}

// They wait for their back-offs most of the time.
t.jobs = 5

for (const transport of ['websocket', 'sse'] as const) {
  t.test(`the client of this package does everything right over ${transport}`, async (t) => {
    // The shortest back-offs.
    t.intercept(Math, 'random', { value: () => 0 })
    const { isRight, lines } = await judge((url) => {
      const client = connect(url, { WebSocket, transports: [transport] })
      t.teardown(() => { client.close() })
      client.on('error', () => undefined)
      const room = client.join(conformance.at({ id: '1' }))
      room.joined.catch(() => undefined)
      // What is under way when the server refuses the client for good rejects.
      room.on('step', ({ data }) => { room.send('heard', data).catch(() => undefined) })
      client.on('gap', () => { room.send('lost', {}).catch(() => undefined) })
    }, { transport })
    t.same(lines, all(transport))
    t.ok(isRight)
  })

  t.test(`the client of the example in Python does everything right over ${transport}`, {
    skip: lacksPython()
  }, async (t) => {
    let output = ''
    const { isRight, lines } = await judge((url) => {
      const script = fileURLToPath(new URL('../../example/python/conformance.py', import.meta.url))
      const child = spawn(PYTHON, [script, url, ...transport === 'sse' ? ['--sse'] : []], { stdio: ['ignore', 'pipe', 'pipe'] })
      const exit = once(child, 'exit')
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += String(chunk) })
      t.teardown(async () => {
        child.kill('SIGKILL')
        await exit
      })
    }, { transport })
    t.same(lines, all(transport), output)
    t.ok(isRight)
    t.equal(output, 'refused for good: revoked\n')
  })
}

t.test('the client in Python goes on where its stream was cut, with the standard library alone', {
  skip: lacksPython()
}, async (t) => {
  const server = await start(t)
  const { proxy, url } = await behind(t, server)
  const script = fileURLToPath(new URL('../../example/python/tail.py', import.meta.url))
  // -I has no packages of the user's; what is None cannot be imported.
  const alone = "import runpy, sys; sys.modules['websockets'] = None; sys.path.insert(0, sys.argv[1]); " +
    "sys.argv = sys.argv[2:]; runpy.run_path(sys.argv[0], run_name='__main__')"
  const child = spawn(PYTHON, ['-c', alone, dirname(script), script, `${url}/ws`, 'chat/1', '--sse'], {
    env: { ...process.env, REALTIME_TOKEN: server.token('ada') },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const exit = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
  })
  const texts: unknown[] = []
  let faults = ''
  createInterface(child.stdout).on('line', (line) => {
    texts.push((JSON.parse(line) as { data: { text: string } }).data.text)
  })
  child.stderr.on('data', (chunk) => { faults += String(chunk) })
  const say = async (text: string): Promise<void> => {
    await server.app.rooms.broadcast('chat/1', 'said', { text, by: 'bob' })
  }
  const members = async (): Promise<number> => (await statsOf(server.app)).connections.total
  await until('it is connected', async () => await members() === 1)
  for (const text of ['1', '2']) await say(text)
  await until('both arrive', () => texts.length === 2)
  proxy.cut()
  await until('it is gone', async () => await members() === 0)
  for (const text of ['3', '4']) await say(text)
  await until('what was missed arrives', () => texts.length >= 4)
  await say('5')
  await until('the next one arrives', () => texts.includes('5'))
  t.same([texts, faults], [['1', '2', '3', '4', '5'], ''])
})

/** A client that takes every frame as it comes, and begins anew when its link ends. */
function naive (t: { teardown (callback: () => void): void }, url: string): void {
  let socket: WebSocket | undefined
  let isOver = false
  let count = 0
  t.teardown(() => {
    isOver = true
    socket?.terminate()
  })
  const open = (): void => {
    const mine = socket = new WebSocket(`${url}/conformance/1`.replace('http', 'ws'), 'realtime.v1')
    mine.on('error', () => undefined)
    mine.on('close', () => { if (!isOver) setTimeout(open, 10) })
    mine.on('message', (text) => {
      const { type, data } = JSON.parse(String(text)) as { type: string, data: unknown }
      if (type === 'step') mine.send(JSON.stringify({ type: 'heard', room: 'conformance/1', id: `${++count}`, data }))
    })
  }
  open()
}

t.test('a client that takes an event twice is told so, and what follows is not tried', async (t) => {
  const { isRight, lines } = await judge((url) => { naive(t, url) }, { patience: 1_000 })
  t.notOk(isRight)
  t.same(lines.slice(0, 2), all().slice(0, 2))
  t.match(lines[2], /^not ok 3 - it drops an event whose offset it has had$/)
  t.match(lines[3], /step 4 was to be heard next, got heard \{"n":3\}/)
  t.match(lines[4], /^Bail out! what follows was not tried: 10 of 13 steps$/)
})

t.test('a client that never comes is told so when the patience is over', async (t) => {
  const { isRight, lines } = await judge(() => undefined, { patience: 50 })
  t.notOk(isRight)
  t.match(lines.join('\n'), /not ok 1 - .*\n {2}# no WebSocket was opened within 50 ms/)
})

/** Asks for an upgrade by bytes that a client may send. */
function asks (t: Test, url: string, path: string, headers: readonly string[]): void {
  const { port, hostname } = new URL(url)
  const socket = createConnection(Number(port), hostname)
  t.teardown(() => { socket.destroy() })
  socket.on('error', () => undefined)
  socket.write([`GET ${path} HTTP/1.1`, 'host: a', 'connection: upgrade', 'upgrade: websocket', ...headers, '', ''].join('\r\n'))
}

const KEY = 'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA=='
const STRANGE: ReadonlyArray<readonly [string, string, readonly string[], RegExp]> = [
  ['without a key', '/ws/conformance/1', ['sec-websocket-version: 13'], /# its upgrade is none: .*Sec-WebSocket-Key/],
  ['of another version', '/ws/conformance/1', ['sec-websocket-version: 1', KEY], /# its upgrade is none: .*Sec-WebSocket-Version/],
  ['to a name that is no UTF-8', '/ws/conformance/%E0%A4', ['sec-websocket-version: 13', KEY], /# no join within 500 ms/],
  ['to a URL that is none', '//', ['sec-websocket-version: 13', KEY], /# no join within 500 ms/]
]

for (const [what, path, headers, says] of STRANGE) {
  t.test(`a client whose upgrade is ${what} is told so, and does not keep the kit waiting`, async (t) => {
    const { isRight, lines } = await judge((url) => { asks(t, url, path, headers) }, { patience: 500 })
    t.notOk(isRight)
    t.match(lines.join('\n'), says)
  })
}

t.test('a client that gives up before it is let in is told so, and does not keep the kit waiting', async (t) => {
  const socket = new PassThrough()
  const request = { url: '/ws/conformance/1', headers: {} } as IncomingMessage
  const attempt = new Upgrade(request, socket, Buffer.alloc(0), '/ws')
  socket.destroy()
  const talk = new Conversation(new ScriptedServer('/ws', 'websocket'), 500)
  await t.rejects(talk.enter(attempt), new Stray('it gave up its upgrade before it was let in'))
})
