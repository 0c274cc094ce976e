import { EventEmitter, once } from 'node:events'
import http, { type ClientRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import type { Teardown } from './servers.js'
import { sseParser } from './sse-parser.js'
import realtime, { defineRoom, type RealtimeOptions } from '../../lib/index.js'
import { FrameQueue, type Frame } from '../../lib/testing/frame-queue.js'

export type { Frame }
export type TransportName = 'websocket' | 'sse' | 'polling'
export const TRANSPORTS: readonly TransportName[] = ['websocket', 'sse', 'polling']

export const chat = defineRoom('chat/:id', {
  messages: {
    say: {
      data: Type.Object({ text: Type.String({ maxLength: 100_000 }) }, { additionalProperties: false }),
      reply: Type.Object({ id: Type.String() })
    },
    type: Type.Object({})
  },
  events: {
    said: Type.Object({ text: Type.String(), by: Type.String() }),
    typing: { data: Type.Object({ by: Type.String() }), delivery: 'volatile' },
    score: { data: Type.Object({ team: Type.String(), points: Type.Integer() }), delivery: 'latest', key: 'team' }
  }
})
export const lobby = defineRoom('crowd/:id', {
  events: { said: Type.Object({ text: Type.String() }) },
  member: Type.Object({ name: Type.String() })
})
export const inbox = defineRoom('@user/:id', { events: { shipped: Type.Object({ order: Type.String() }) } })
export const everyone = defineRoom('@all', { events: { notice: Type.Object({ text: Type.String() }) } })

export interface Running {
  readonly app: FastifyInstance
  readonly port: number
  readonly url: string
  /** a token for a user; expires in a minute unless said otherwise */
  token (sub: string, claims?: object, expiresIn?: number | string): string
  /**
   * log lines at or above `warn`, but for the one in a minute that a refusal of each code and fix and a limit may have:
   * what a client does must never be here
   */
  readonly loud: object[]
  readonly lines: string[]
}

export interface StartOptions extends RealtimeOptions {
  readonly fastify?: FastifyServerOptions
  readonly declare?: (app: FastifyInstance) => void
  readonly before?: (app: FastifyInstance) => void | Promise<void>
}

/** An app on a free port, closed by the test. */
export async function start (
  t: Teardown,
  { fastify, declare, before, ...options }: StartOptions = {}
): Promise<Running> {
  const loud: object[] = []
  const lines: string[] = []
  const refused = new Set<string>()
  const stream = new Writable({
    write (chunk, _encoding, done) {
      const line = String(chunk)
      lines.push(line)
      const parsed = JSON.parse(line) as { level: number, msg?: string, code?: string, limit?: string, fix?: string }
      // A limit has two: from 80 % on, and once all is used.
      const kind = parsed.msg?.startsWith('refused with ') === true
        ? `${parsed.code} ${parsed.limit} ${parsed.fix}`
        : /^(80 %|all) of .* is used: /.exec(parsed.msg ?? '')?.[0]
      const isFirst = kind !== undefined && !refused.has(kind)
      if (parsed.level >= 40 && !isFirst) loud.push(parsed)
      if (parsed.level >= 40 && isFirst) refused.add(kind)
      done()
    }
  })
  const app = Fastify({ logger: { level: 'trace', stream }, ...fastify })
  let left: Record<string, number> | undefined
  t.teardown(async () => {
    await app.close()
    // Whatever a story did, with its end nothing may hold a slot: it would be missing until the next start.
    if (left !== undefined) throw new Error(`slots are held by nobody after the close: ${JSON.stringify(left)}`)
  })
  await before?.(app)
  await app.register(realtime, {
    ...(app.hasRequestDecorator('jwtVerify') ? {} : { jwt: { secret: 'a test' } }),
    drain: { timeout: 3_000 },
    ...options
  })
  if (declare === undefined) declareChat(app)
  else declare(app)
  app.addHook('onClose', async () => { left = await slotsLeft(app) })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return {
    app,
    port,
    url: `http://127.0.0.1:${port}`,
    token: (sub, claims = {}, expiresIn = 60) => app.jwt.sign({ sub, ...claims }, { expiresIn }),
    loud,
    lines
  }
}

/** Milliseconds in which the last sockets of a server that has drained close. */
const CLOSES = 5_000

/** What holds slots once everybody has been sent away; `undefined`: nothing. */
async function slotsLeft (app: FastifyInstance): Promise<Record<string, number> | undefined> {
  const until = performance.now() + CLOSES
  for (;;) {
    const { slots, total } = (await statsOf(app)).connections
    if (slots === 0 && total === 0) return undefined
    if (performance.now() > until) return { slots, connections: total }
    await new Promise((resolve) => { setTimeout(resolve, 5) })
  }
}

export function declareChat (app: FastifyInstance, extra: object = {}): void {
  app.room(chat, {
    ...extra,
    on: {
      async say ({ data, userId, room, messageId }) {
        await room.broadcast('said', { text: data.text, by: userId })
        return { id: messageId ?? 'none' }
      },
      async type ({ userId, room, sender }) { await room.broadcast('typing', { by: userId }, { except: sender }) }
    }
  })
}

export interface ConnectOptions {
  readonly transport?: TransportName
  readonly token?: string
  readonly rooms?: readonly string[]
  /** more of the query, e.g. `since` and `last` */
  readonly query?: Record<string, string>
  readonly headers?: Record<string, string>
  readonly protocols?: string[]
}

export interface NetPeer {
  readonly transport: TransportName
  readonly welcome: Frame
  readonly id: string
  readonly queue: FrameQueue
  /** newest cursor of a stream or poll */
  readonly cursor: string
  readonly ended: Promise<void>
  send (frame: object): void
  next (type: string, matches?: (frame: Frame) => boolean, deadline?: number): Promise<Frame>
  /** a round trip through the connection; what was sent before it is here */
  sync (): Promise<void>
  /** `sync`, and nothing is unread */
  fence (): Promise<void>
  cut (): void
  stall (): void
  resume (): void
  /** @param code of its close frame, where there are such */
  close (code?: number): Promise<void>
}

export interface Refused extends Error {
  readonly statusCode: number
  readonly headers: Record<string, string>
  readonly body: {
    code?: string
    room?: string
    retry?: string
    retryAfter?: number
    message?: string
    statusCode?: number
  }
}

function refused (statusCode: number, headers: NodeJS.Dict<string | string[]>, text: string): Refused {
  let body: object = {}
  try {
    body = JSON.parse(text) as object
  } catch { /* not ours */ }
  return Object.assign(new Error(`refused with ${statusCode} ${text}`), {
    statusCode,
    headers,
    body,
    ...body
  }) as unknown as Refused
}

async function bodyOf (answer: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of answer) text += String(chunk)
  return text
}

function pathOf ({ rooms = [], query = {} }: ConnectOptions): string {
  const [first, ...more] = rooms
  const search = new URLSearchParams(query)
  for (const name of more) search.append('room', name)
  const text = search.toString()
  return `/ws${first === undefined ? '' : `/${first}`}${text === '' ? '' : `?${text}`}`
}

/** Connects over a real socket. @throws Refused */
export async function connect (server: { port: number, url: string }, options: ConnectOptions = {}): Promise<NetPeer> {
  switch (options.transport ?? 'websocket') {
    case 'websocket': return await connectWebSocket(server, options)
    case 'sse': return await connectSse(server, options)
    case 'polling': return await connectPolling(server, options)
  }
}

function headersOf ({ token, headers = {} }: ConnectOptions): Record<string, string> {
  // A pool that keeps sockets open would have each closing app wait for them.
  return { connection: 'close', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers }
}

async function connectWebSocket ({ port }: { port: number }, options: ConnectOptions): Promise<NetPeer> {
  const queue = new FrameQueue()
  const ws = new WebSocket(`ws://127.0.0.1:${port}${pathOf(options)}`, options.protocols ?? [], {
    headers: { ...headersOf(options), connection: 'Upgrade' }
  })
  ws.on('message', (data) => {
    const frame = JSON.parse(String(data)) as Frame
    if (frame.type !== 'ping') queue.push(frame)
  })
  ws.on('close', (code, reason) => { queue.end(`${code} ${String(reason)}`) })
  await new Promise<void>((resolve, reject) => {
    ws.once('open', () => { resolve() })
    ws.once('unexpected-response', (_request: ClientRequest, answer: IncomingMessage) => {
      bodyOf(answer).then((text) => { reject(refused(answer.statusCode!, answer.headers, text)) }, reject)
    })
    ws.once('error', reject)
  })
  ws.on('error', () => undefined)
  // Where a thousand come at once, the last of them waits for the others.
  const welcome = await queue.next('welcome', undefined, 15_000)
  let fences = 0
  const sync = async (): Promise<void> => {
    const id = `sync-${++fences}`
    ws.send(JSON.stringify({ type: 'ping', id }))
    await queue.next('pong', (frame) => frame.type === 'pong' && frame.id === id)
  }
  return {
    transport: 'websocket',
    welcome,
    id: (welcome.data as { connectionId: string }).connectionId,
    queue,
    cursor: '',
    ended: queue.ended,
    send: (frame) => {
      ws.send(typeof frame === 'string' || frame instanceof Uint8Array ? frame : JSON.stringify(frame))
    },
    next: async (type, matches, deadline) => await queue.next(type, matches, deadline),
    sync,
    fence: async () => {
      await sync()
      queue.assertEmpty()
    },
    cut: () => { ws.terminate() },
    stall: () => { ws.pause() },
    resume: () => { ws.resume() },
    close: async (code = 1000) => {
      ws.close(code)
      await queue.ended
    }
  }
}

interface Uplink { send: (frame: object) => void, sync: () => Promise<void>, answered: (frame: Frame) => boolean }

function uplink (
  server: { url: string, app?: FastifyInstance },
  options: ConnectOptions,
  queue: FrameQueue,
  id: () => string
): Uplink {
  const post = async (frame: Frame): Promise<void> => {
    const answer = await fetch(`${server.url}/ws`, {
      method: 'POST',
      headers: { ...headersOf(options), 'content-type': 'application/json', 'x-connection-id': id() },
      body: JSON.stringify(frame)
    })
    const body = await answer.json() as Frame
    if (frame.type === 'pong') return
    if (answer.ok) queue.push(body)
    else {
      queue.push({
        type: 'error',
        ...(frame.id === undefined ? {} : { id: frame.id }),
        ...(frame.room === undefined ? {} : { room: frame.room }),
        data: body
      })
    }
  }
  return {
    send: (frame) => {
      post(frame as Frame).catch((error: Error) => {
        queue.push({ type: 'error', data: { code: 'network', message: error.message } })
      })
    },
    sync: async () => {
      const { alive } = await server.app!.rooms.ping({ connection: id() })
      if (!alive) throw new Error('the connection has ended')
    },
    answered: ({ type, id: ping }) => {
      if (type !== 'ping') return false
      // The server may close before it answers: the pong has done its work or is not needed.
      if (ping !== undefined) post({ type: 'pong', id: ping, data: undefined }).catch(() => undefined)
      return true
    }
  }
}

async function connectSse (
  server: { port: number, url: string, app?: FastifyInstance },
  options: ConnectOptions
): Promise<NetPeer> {
  const queue = new FrameQueue()
  const request = http.get(`${server.url}${pathOf(options)}`, {
    agent: false,
    headers: { accept: 'text/event-stream', ...headersOf(options) }
  })
  const [answer] = await once(request, 'response') as [IncomingMessage]
  if (answer.statusCode !== 200) throw refused(answer.statusCode!, answer.headers, await bodyOf(answer))
  let id = ''
  let cursor = ''
  const { send, sync, answered } = uplink(server, options, queue, () => id)
  const parse = sseParser((data, { id: position }) => {
    if (position !== undefined) cursor = position
    const frame = JSON.parse(data) as Frame
    if (frame.type === 'welcome') id = (frame.data as { connectionId: string }).connectionId
    if (!answered(frame)) queue.push(frame)
  })
  answer.setEncoding('utf8')
  answer.on('data', parse)
  answer.on('error', () => undefined)
  request.on('error', () => undefined)
  answer.on('close', () => { queue.end('the stream ended') })
  // Where a thousand come at once, the last of them waits for the others.
  const welcome = await queue.next('welcome', undefined, 15_000)
  return {
    transport: 'sse',
    welcome,
    get id () { return id },
    queue,
    get cursor () { return cursor },
    ended: queue.ended,
    send,
    next: async (type, matches, deadline) => await queue.next(type, matches, deadline),
    sync,
    fence: async () => {
      await sync()
      queue.assertEmpty()
    },
    cut: () => { request.destroy() },
    stall: () => { answer.pause() },
    resume: () => { answer.resume() },
    close: async () => {
      request.destroy()
      await queue.ended
    }
  }
}

export interface Posted {
  readonly status: number
  readonly type?: string
  readonly code?: string
  readonly data?: unknown
}

/**
 * Sends a frame by a request of its own, as who has a stream or polls does.
 *
 * @param connection its id; absent for a frame of no connection
 * @param frame a frame, or text that may be none
 */
export async function postFrame (
  { url }: { readonly url: string },
  token: string,
  connection: string | undefined,
  frame: object | string
): Promise<Posted> {
  const answer = await fetch(`${url}/ws`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      ...(connection === undefined ? {} : { 'x-connection-id': connection }),
      connection: 'close'
    },
    body: typeof frame === 'string' ? frame : JSON.stringify(frame)
  })
  return { status: answer.status, ...await answer.json() as object }
}

export interface PollAnswer {
  connectionId: string
  cursor: string
  resumed: boolean
  rooms: Record<string, {
    epoch?: string
    offset?: number
    resumed?: boolean
    members?: { sequence: number, total: number, list?: Array<{ userId: string }> }
  }>
  frames: Frame[]
}

/** One poll. @throws Refused */
export async function poll (
  server: { url: string },
  options: ConnectOptions,
  signal?: AbortSignal
): Promise<PollAnswer> {
  // Not fetch: after an aborted request its pool opens a socket that says nothing, which a closing server waits for.
  const request = http.get(`${server.url}${pathOf(options)}`, {
    agent: false,
    headers: headersOf(options),
    ...(signal === undefined ? {} : { signal })
  })
  const [answer] = await once(request, 'response') as [IncomingMessage]
  const text = await bodyOf(answer)
  if (answer.statusCode !== 200) throw refused(answer.statusCode!, answer.headers, text)
  return JSON.parse(text) as PollAnswer
}

async function connectPolling (
  server: { port: number, url: string, app?: FastifyInstance },
  options: ConnectOptions
): Promise<NetPeer> {
  const queue = new FrameQueue()
  const first = await poll(server, options)
  const { connectionId } = first
  let { cursor } = first
  const state = { isOpen: true }
  const gate = new EventEmitter()
  let isStalled = false
  let abort = new AbortController()
  const { send, sync, answered } = uplink(server, options, queue, () => connectionId)
  const take = (frames: Frame[]): void => { for (const frame of frames) if (!answered(frame)) queue.push(frame) }
  queue.push({ type: 'welcome', data: { connectionId, rooms: first.rooms, resumed: first.resumed } })
  take(first.frames)
  const { last: _last, at: _at, ...query } = options.query ?? {}
  const loop = async (): Promise<void> => {
    while (state.isOpen) {
      if (isStalled) await once(gate, 'go')
      abort = new AbortController()
      const answer = await poll(server, { ...options, query: { ...query, since: cursor, wait: '2000' } }, abort.signal)
      if (!state.isOpen) return
      cursor = answer.cursor
      take(answer.frames)
    }
  }
  const running = loop()
    .catch((error: Error) => { queue.end(error.message) })
    .finally(() => { queue.end('the polls ended') })
  const stop = (): void => {
    state.isOpen = false
    gate.emit('go')
    abort.abort()
  }
  // Where a thousand come at once, the last of them waits for the others.
  const welcome = await queue.next('welcome', undefined, 15_000)
  return {
    transport: 'polling',
    welcome,
    id: connectionId,
    queue,
    get cursor () { return cursor },
    ended: queue.ended,
    send,
    next: async (type, matches, deadline) => await queue.next(type, matches, deadline),
    sync,
    fence: async () => {
      await sync()
      queue.assertEmpty()
    },
    cut: stop,
    stall: () => { isStalled = true },
    resume: () => {
      isStalled = false
      gate.emit('go')
    },
    close: async () => {
      stop()
      await fetch(`${server.url}/ws`, {
        method: 'POST',
        headers: { ...headersOf(options), 'content-type': 'application/json', 'x-connection-id': connectionId },
        body: '{"type":"leave"}'
      })
      await running
    }
  }
}

/** Asks again and again until it holds; rejects at the deadline and says what it was last. */
export async function eventually<T> (
  what: string,
  read: () => T | Promise<T>,
  holds: (value: T) => boolean,
  deadline = 15_000
): Promise<T> {
  const end = Date.now() + deadline
  for (;;) {
    const value = await read()
    if (holds(value)) return value
    if (Date.now() > end) throw new Error(`${what}: still ${JSON.stringify(value)} after ${deadline} ms`)
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
}

export interface Stats {
  connections: { total: number, slots: number, transports: Record<TransportName, number> }
  users: number
  rooms: { active: number }
  refusals: Record<string, number>
  closes: Record<string, number>
  messages: { errors: Record<string, number> }
  outbox: { bytes: number, frames: number }
  events: { writes: number }
  ledger: Record<'meant' | 'delivered' | 'resumed' | 'conflated' | 'dropped' | 'gone' | 'queued' | 'gaps', number>
}

export async function statsOf (app: FastifyInstance): Promise<Stats> {
  return await app.rooms.stats() as unknown as Stats
}

/** Promise 9: every event meant for a connection is in exactly one column. */
export async function assertLedger (t: Test, app: FastifyInstance): Promise<void> {
  const { ledger } = await statsOf(app)
  const { meant, delivered, resumed, conflated, dropped, gone, queued } = ledger
  t.equal(
    delivered + resumed + conflated + dropped + gone + queued,
    meant,
    `the ledger adds up: ${JSON.stringify(ledger)}`
  )
}
