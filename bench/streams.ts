/**
 * What a token of a stream costs: texts that grow (`delivery: 'append'`) over WebSocket and SSE, beside one event for
 * each token and beside the loop over replies that people write by hand. Readers are in a process of their own. Prints
 * the CPU of the server and the bytes for each token and reader, and the memory of a live stream.
 *
 * `npm run bench:streams -- [seconds] [rounds]`
 */
import { fork } from 'node:child_process'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { WebSocket } from 'ws'
import realtime, { defineRoom } from 'fastify-realtime'

/** Rooms with one stream each, readers of each, and tokens a second of each stream. */
const STREAMS = 20
const READERS = 10
const RATE = 50
const TOKENS = ['the', ' of', ' and', ' then', ' however', ',', ' it', ' was', ' raining', '.']
/** Live streams whose memory is measured, and characters of each. */
const LIVE = 500
const LENGTH = 10_000

const ai = defineRoom('ai/:id', {
  events: {
    answer: { data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'append', key: 'id', append: 'text' },
    token: Type.Object({ id: Type.String(), text: Type.String() })
  }
})

const MODES = ['append', 'append over SSE', 'append over SSE with names', 'append, flush 0', 'an event for each token', 'a loop over replies'] as const
type Mode = typeof MODES[number]

interface Figures { readonly cpu: number, readonly bytes: number }

/**
 * The query of readers by SSE: the client library asks for events without names, a page with EventSource needs them.
 * `undefined` for readers by WebSocket.
 */
function queryOf (mode: Mode): string | undefined {
  if (mode === 'append over SSE') return '?events=unnamed'
  return mode === 'append over SSE with names' || mode === 'a loop over replies' ? '' : undefined
}

async function read (port: string, token: string, query: string | undefined): Promise<void> {
  let bytes = 0
  await Promise.all(Array.from({ length: STREAMS * READERS }, async (_, index) => await new Promise<void>((resolve) => {
    const path = `/ws/ai/${index % STREAMS}`
    if (query !== undefined) {
      const headers = { authorization: `Bearer ${token}`, accept: 'text/event-stream' }
      http.get({ port, host: '127.0.0.1', path: `${path}${query}`, headers, agent: new http.Agent() }, (answer) => {
        answer.on('data', ({ length }: Buffer) => { bytes += length })
        resolve()
      })
      return
    }
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers: { authorization: `Bearer ${token}` } })
    socket.on('upgrade', ({ socket: raw }) => { raw.on('data', ({ length }: Buffer) => { bytes += length }) })
    socket.on('open', resolve)
    socket.on('message', () => {})
  })))
  process.send!('open')
  process.on('message', (asked) => {
    if (asked === 'bytes') process.send!(bytes)
    else process.exit()
  })
}

/** Begins the stream of a room, and returns what writes a token to it. */
type Begin = (stream: number) => Promise<(text: string) => void>

async function serve (mode: Mode): Promise<{ app: FastifyInstance, write: Begin }> {
  const app = Fastify()
  const replies = Array.from({ length: STREAMS }, (): FastifyReply[] => [])
  if (mode === 'a loop over replies') {
    app.get<{ Params: { id: string } }>('/ws/ai/:id', (request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
      reply.raw.write(':\n\n')
      replies[Number(request.params.id)]!.push(reply)
    })
    const write: Begin = async (stream) => (text) => {
      for (const { raw } of replies[stream]!) raw.write(`data: ${JSON.stringify({ id: 'a', text })}\n\n`)
    }
    return { app, write }
  }
  await app.register(realtime, { jwt: { secret: 'bench' }, limits: { user: { connections: 1_000, then: 'reject' } } })
  app.room(ai, mode === 'append, flush 0' ? { flush: 0 } : {})
  const write: Begin = async (stream) => {
    const room = ai.at({ id: String(stream) })
    if (mode === 'an event for each token') {
      return (text) => { void app.rooms.broadcast(room, 'token', { id: 'a', text }) }
    }
    const writer = await app.rooms.stream(room, 'answer', { id: 'a' })
    return (text) => { void writer.write(text) }
  }
  return { app, write }
}

async function run (mode: Mode, seconds: number): Promise<Figures> {
  const { app, write } = await serve(mode)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const token = app.hasDecorator('jwt') ? app.jwt.sign({ sub: 'reader' }, { expiresIn: 600 }) : 'none'
  const child = fork(fileURLToPath(import.meta.url), [
    'read',
    String(port),
    token,
    ...[queryOf(mode) ?? []].flat()
  ])
  await new Promise((resolve) => { child.once('message', resolve) })
  const bytesRead = async (): Promise<number> => await new Promise((resolve) => {
    child.once('message', (bytes) => { resolve(bytes as number) })
    child.send('bytes')
  })
  const writes = await Promise.all(Array.from({ length: STREAMS }, async (_, stream) => await write(stream)))
  let tokens = 0
  const loop = async (duration: number): Promise<void> => {
    const begun = performance.now()
    for (let n = 0; performance.now() - begun < duration; n++) {
      for (const each of writes) each(TOKENS[n % TOKENS.length]!)
      tokens += STREAMS
      await sleep(Math.max(0, begun + (n + 1) * 1_000 / RATE - performance.now()))
    }
    await sleep(200)
  }
  await loop(1_000)
  tokens = 0
  const before = { cpu: process.cpuUsage(), bytes: await bytesRead() }
  await loop(seconds * 1_000)
  const { user, system } = process.cpuUsage(before.cpu)
  const bytes = await bytesRead() - before.bytes
  child.send('end')
  await app.close()
  return { cpu: (user + system) / (tokens * READERS), bytes: bytes / (tokens * READERS) }
}

/** Bytes of the heap for each live stream, beside the characters of its text. */
async function memory (): Promise<number> {
  const app = Fastify()
  await app.register(realtime, { jwt: { secret: 'bench' } })
  app.room(ai)
  await app.ready()
  const heap = async (): Promise<number> => {
    for (let round = 0; round < 4; round++) {
      globalThis.gc?.()
      await sleep(50)
    }
    return process.memoryUsage().heapUsed
  }
  const before = await heap()
  for (let id = 0; id < LIVE; id++) {
    const writer = await app.rooms.stream(ai.at({ id: String(id) }), 'answer', { id: 'a' })
    for (let n = 0; n < LENGTH / 100; n++) await writer.write('x'.repeat(100))
  }
  await sleep(500)
  const each = (await heap() - before) / LIVE
  await app.close()
  return each
}

function median (values: number[]): number { return values.sort((a, b) => a - b)[Math.floor(values.length / 2)]! }

if (process.argv[2] === 'read') await read(process.argv[3]!, process.argv[4]!, process.argv[5])
else {
  const [seconds = 5, rounds = 3] = process.argv.slice(2).map(Number)
  const figures = new Map<Mode, Figures[]>()
  for (let round = 0; round < rounds; round++) {
    for (const mode of MODES) figures.set(mode, [...figures.get(mode) ?? [], await run(mode, seconds)])
  }
  console.table(Object.fromEntries([...figures].map(([mode, all]) => [mode, {
    'CPU us per token and reader': Math.round(median(all.map(({ cpu }) => cpu)) * 100) / 100,
    'bytes per token and reader': Math.round(median(all.map(({ bytes }) => bytes)) * 10) / 10
  }])))
  console.log(`${Math.round(await memory())} bytes for a live stream of ${LENGTH} characters`)
  process.exit()
}
