import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import http, { type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Keys } from '../../lib/adapters/redis/keys.js'
import { sseParser } from '../helpers/sse-parser.js'
import { FrameQueue, type Frame } from '../../lib/testing/frame-queue.js'
import type { PollAnswer } from '../helpers/net.js'
import { missing, until } from '../helpers/servers.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** milliseconds until something that takes a moment must have happened */
const PATIENCE = 10_000

interface Node { readonly address: string, readonly pid: number }
interface Cluster {
  readonly url: string
  readonly redis: string
  readonly nodes: readonly Node[]
  readonly directory: string
  stop (): Promise<number | null>
}

/** The example as `npm run cluster` runs it, on free ports and with a folder for temporary files of its own. */
async function startCluster (t: Test): Promise<Cluster> {
  const directory = await mkdtemp(join(tmpdir(), 'cluster-test-'))
  const child = spawn(process.execPath, ['--import', './scripts/typescript/register.mjs', 'example/cluster/start.ts'], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, TMPDIR: directory, PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const exit = once(child, 'exit').then(([code]) => code as number | null)
  const stop = async (): Promise<number | null> => {
    child.kill('SIGTERM')
    return await exit
  }
  t.teardown(async () => {
    await stop()
    await rm(directory, { recursive: true, force: true })
  })
  let log = ''
  child.stderr.on('data', (chunk) => { log += String(chunk) })
  const lines = createInterface(child.stdout)
  const nodes: Node[] = []
  let [url, redis] = ['', '']
  for await (const line of lines) {
    log += `${line}\n`
    const [, what, place, pid] = /^(nginx|node|redis) +(\S+)(?:.*pid (\d+))?/.exec(line) ?? []
    if (what === 'nginx') url = place!
    if (what === 'redis') redis = place!
    if (what === 'node') nodes.push({ address: new URL(place!).host, pid: Number(pid) })
    if (line.startsWith('Ctrl-C')) break
  }
  if (url === '') throw new Error(`the cluster did not start (is dist built? npm run build):\n${log}`)
  child.stdout.resume()
  return { url, redis, nodes, directory, stop }
}

/** The node that answered: the last of those that nginx asked. */
const nodeOf = (asked: string | string[] | null | undefined): string => String(asked).split(', ').at(-1)!

async function tokenFrom (url: string, name: string): Promise<string> {
  return await (await fetch(`${url}/token/${name}`, { method: 'POST' })).text()
}

interface Link { readonly node: string, readonly queue: FrameQueue, cursor (): string, cut (): void }

async function stream (url: string, token: string, room: string, since?: string): Promise<Link> {
  const queue = new FrameQueue()
  let cursor = ''
  const request = http.get(`${url}/ws/${room}`, {
    agent: false,
    headers: {
      accept: 'text/event-stream',
      authorization: `Bearer ${token}`,
      ...(since === undefined ? {} : { 'last-event-id': since })
    }
  })
  const [answer] = await once(request, 'response') as [IncomingMessage]
  const parse = sseParser((data, { id }) => {
    cursor = id ?? cursor
    queue.push(JSON.parse(data) as Frame)
  })
  answer.setEncoding('utf8').on('data', parse).on('error', () => undefined)
  answer.on('close', () => { queue.end('the stream ended') })
  request.on('error', () => undefined)
  await queue.next('welcome', undefined, PATIENCE)
  return { node: nodeOf(answer.headers['x-node']), queue, cursor: () => cursor, cut: () => { request.destroy() } }
}

interface Socket extends Omit<Link, 'cursor'> { readonly welcome: Frame, send (frame: object): void }

async function websocket (url: string, token: string, path = ''): Promise<Socket> {
  const queue = new FrameQueue()
  const ws = new WebSocket(`${url.replace('http', 'ws')}/ws${path}`, ['realtime.v1', `bearer.${token}`])
  let node = ''
  ws.on('upgrade', ({ headers }: IncomingMessage) => { node = nodeOf(headers['x-node']) })
  ws.on('message', (data) => { queue.push(JSON.parse(String(data)) as Frame) })
  ws.on('close', (code) => { queue.end(String(code)) })
  await once(ws, 'open')
  ws.on('error', () => undefined)
  const welcome = await queue.next('welcome', undefined, PATIENCE)
  return { node, queue, welcome, send: (frame) => { ws.send(JSON.stringify(frame)) }, cut: () => { ws.terminate() } }
}

async function poll (url: string, token: string, room: string, since = ''): Promise<PollAnswer & { asked: string }> {
  const answer = await fetch(`${url}/ws/${room}${since === '' ? '' : `?since=${since}`}`, {
    headers: { authorization: `Bearer ${token}` }
  })
  return { ...await answer.json() as PollAnswer, asked: answer.headers.get('x-node')! }
}

/** By the REST route. @returns the node that took it */
async function publish (url: string, token: string, room: string, text: string): Promise<string> {
  const answer = await fetch(`${url}/rooms/${room}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json'
    },
    body: JSON.stringify({ text })
  })
  if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`)
  return (await answer.json() as { node: string }).node
}

const textOf = ({ data }: Frame): string => (data as { text: string }).text
const textsOf = (...links: Array<{ queue: FrameQueue }>): string[] =>
  links.flatMap(({ queue }) => queue.all.filter(({ type }) => type === 'said').map(textOf))
const has = async ({ queue }: { queue: FrameQueue }, text: string): Promise<Frame> => await queue.next(
  text,
  (frame) => frame.type === 'said' && textOf(frame) === text,
  PATIENCE
)

/** What it says when it cannot start; it has ended by then. */
async function refusal (t: Test, environment: Record<string, string>): Promise<string> {
  const child = spawn(process.execPath, ['--import', './scripts/typescript/register.mjs', 'example/cluster/start.ts'], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...environment },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let said = ''
  child.stderr.on('data', (chunk) => { said += String(chunk) })
  const [code] = await once(child, 'close') as [number | null]
  t.equal(code, 1)
  return said
}

t.test('the cluster names what it needs and how to get it', async (t) => {
  const said = await refusal(t, { NGINX: '/nowhere/nginx', REDIS_SERVER: '/nowhere/redis-server' })
  t.match(
    said,
    /not found on this machine: redis-server, nginx\.\n.*apt-get install redis-server nginx\n.*brew install redis nginx/
  )
})

t.test('the cluster does not take the server of somebody else for its own', {
  skip: missing(
    'redis-server',
    'nginx'
  )
}, async (t) => {
  const other = http.createServer().listen(0, '127.0.0.1')
  t.teardown(() => { other.close() })
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  t.match(await refusal(t, { PORT: String(port) }), `port ${port} is taken`)
})

t.test('two nodes behind nginx and one Redis', {
  skip: missing('redis-server', 'nginx'),
  timeout: 60_000
}, async (t) => {
  const { url, redis, nodes, directory, stop } = await startCluster(t)
  const token = await tokenFrom(url, 'ada')
  t.equal(nodes.length, 2)

  await t.test('an event that one node takes by REST arrives at a WebSocket of the other', async (t) => {
    const socket = await websocket(url, token, '/chat/rest')
    const taken = [await publish(url, token, 'rest', '1'), await publish(url, token, 'rest', '2')]
    t.same([...taken].sort(), nodes.map(({ address }) => address).sort(), 'the nodes take turns')
    await has(socket, '2')
    t.same(textsOf(socket), ['1', '2'])
    socket.cut()
  })

  await t.test('a message sent over a WebSocket reaches a WebSocket of the other node', async (t) => {
    const [one, two] = [
      await websocket(url, token, '/chat/say'),
      await websocket(url, await tokenFrom(url, 'bob'), '/chat/say')
    ]
    const other = one.node === two.node ? await websocket(url, token, '/chat/say') : two
    t.not(one.node, other.node)
    one.send({ type: 'say', room: 'chat/say', id: '1', data: { text: 'hello' } })
    t.match(await one.queue.next('ack'), { data: { node: one.node } })
    t.match(await has(other, 'hello'), { data: { by: 'ada', node: one.node } })
    for (const socket of [one, two, other]) socket.cut()
  })

  await t.test('polls of one connection are answered by either node, each from where the last one ended', async (t) => {
    let last = await poll(url, token, 'chat/polls')
    const asked = new Set([last.asked])
    const { connectionId } = last
    for (const text of ['1', '2', '3', '4']) {
      await publish(`http://${nodes[0]!.address}`, token, 'polls', text)
      last = await poll(url, token, 'chat/polls', last.cursor)
      asked.add(last.asked)
      t.match(last, { connectionId, resumed: true })
      t.same(last.frames.map(textOf), [text])
    }
    t.same(asked, new Set(nodes.map(({ address }) => address)))
  })

  await t.test('a stream that was cut goes on at the other node, each event once', async (t) => {
    const direct = `http://${nodes[1]!.address}`
    const first = await stream(url, token, 'chat/streams')
    for (const text of ['1', '2']) await publish(direct, token, 'streams', text)
    await has(first, '2')
    first.cut()
    for (const text of ['3', '4']) await publish(direct, token, 'streams', text)
    const second = await stream(url, token, 'chat/streams', first.cursor())
    t.not(second.node, first.node)
    await publish(direct, token, 'streams', '5')
    await has(second, '5')
    t.same(textsOf(first, second), ['1', '2', '3', '4', '5'])
    second.cut()
  })

  await t.test('a node dies: its stream, its WebSocket and its open poll go on at the other, and so do publishers', async (t) => {
    const room = 'chat/dies'
    const socket = await websocket(url, token, `/${room}`)
    const [victim, survivor] = [
      nodes.find(({ address }) => address === socket.node)!,
      nodes.find(({ address }) => address !== socket.node)!
    ]
    const onVictim = async <L extends { node: string, cut (): void }> (open: () => Promise<L>): Promise<L> => {
      for (;;) {
        const link = await open()
        if (link.node === victim.address) return link
        link.cut()
      }
    }
    const events = await onVictim(async () => await stream(url, token, room))
    await publish(url, token, 'dies', 'before')
    await Promise.all([socket, events].map(async (link) => await has(link, 'before')))

    const client = new Redis(redis)
    t.teardown(() => { client.disconnect() })
    const subscribed = async (name: string): Promise<number> => (await client.call(
      'PUBSUB',
      'SHARDNUMSUB',
      new Keys('realtime:').events(name)
    ) as [string, number])[1]
    // The poll's own place at the survivor ends when it moves; with a member that stays there, one subscription more is
    // the poll at the victim.
    const direct = `http://${survivor.address}`
    const witness = await stream(direct, token, 'chat/waits')
    const first = await poll(direct, token, 'chat/waits')
    t.equal(await subscribed('chat/waits'), 1)
    // nginx takes turns: behind a request to the survivor it is the victim's.
    while (await publish(url, token, 'turns', 'mine') !== survivor.address);
    const waiting = poll(url, token, 'chat/waits', first.cursor)
    await until('the poll waits at the node that will die', async () => await subscribed('chat/waits') === 2, PATIENCE)

    process.kill(victim.pid, 'SIGKILL')
    await Promise.all([socket.queue.ended, events.queue.ended])
    for (let i = 1; i <= 10; i++) t.equal(await publish(url, token, 'dies', `during ${i}`), survivor.address)

    const { epoch, offset } = (socket.welcome.data as {
      rooms: Record<string, {
        epoch: string
        offset: number
      }>
    }).rooms[room]!
    const again = await websocket(url, token)
    again.send({ type: 'join', room, id: 'j', data: { since: { epoch, offset: offset + 1 } } })
    t.match(await again.queue.next('ack', undefined, PATIENCE), { data: { resumed: true } })
    const resumed = await stream(url, token, room, events.cursor())
    t.same([again.node, resumed.node], [survivor.address, survivor.address])
    await publish(url, token, 'dies', 'after')
    const all = ['before', ...Array.from({ length: 10 }, (_, i) => `during ${i + 1}`), 'after']
    for (const [before, after] of [[socket, again], [events, resumed]] as const) {
      await has(after, 'after')
      t.same(textsOf(before, after), all)
    }

    await publish(url, token, 'waits', 'for the poll')
    const answer = await waiting
    t.equal(answer.asked, `${victim.address}, ${survivor.address}`, 'nginx asked the other node when the first died')
    t.match(answer, { connectionId: first.connectionId, resumed: true })
    t.same(answer.frames.map(textOf), ['for the poll'])
    for (const link of [again, resumed, witness]) link.cut()
  })

  await t.test('it stops with status 0 and leaves nothing behind', async (t) => {
    t.equal(await stop(), 0)
    await t.rejects(fetch(url))
    for (const { pid } of nodes) t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
    t.same((await readdir(directory)).filter((name) => name.startsWith('realtime-cluster-')), [])
  })
})
