/// <reference types="@fastify/websocket" preserve="true" />
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import { sseParser } from '../client/sse-parser.js'
import { REALTIME_ERR_OPTIONS, REALTIME_ERR_PLUGIN } from '../errors/misuse.js'
import { explain } from '../errors/explain.js'
import { prefixOf } from '../endpoint/prefix.js'
import type { ServerFrame } from '../protocol/server-frames.js'
import { FrameQueue, type Frame } from './frame-queue.js'

export type { Frame }

/** A client inside a test, over any transport, without port or network. */
export interface Peer {
  /** The first frame: the user that the server takes the peer for, and the outcome of each room of the URL. */
  readonly welcome: Frame
  /** Sends one frame of the protocol as it is, without any check. */
  send (frame: {
    /** A command, or the name of a message. */
    type: string
    /** The room concerned. */
    room?: string
    /** The id that the ack will name. */
    id?: string
    /** The data of a message. */
    data?: unknown
  }): void
  /** The first unread frame of a type; rejects after three seconds and prints what did arrive. */
  next (type: string): Promise<Frame>
  /** Proves that no more frames came: it makes a round trip through the server, after which the queue must be empty. */
  fence (): Promise<void>
  /** Lets the link die without a close. */
  cut (): void
  /** Stops reading. */
  stall (): void
  /** Closes the link properly, and resolves when it is gone. */
  close (): Promise<void>
}

/** Options of `createPeer`. An unknown or wrong option rejects with `REALTIME_ERR_OPTIONS`. */
export interface PeerOptions {
  /** The room of the URL: `chat/42`. @default none: the peer opens the prefix itself */
  readonly room?: string
  /** A bearer token. @default none */
  readonly token?: string
  /**
   * Cookies as a browser sends them, together with an `Origin`: the app's own unless `origin` is given. @default none
   */
  readonly cookies?: Record<string, string>
  /** The `Origin` header. @default none; with `cookies` the app's own, `http://localhost` */
  readonly origin?: string
  /** The transport of its only link. @default 'websocket' */
  readonly transport?: 'websocket' | 'sse' | 'polling'
  /** The prefix of the plugin's URLs. @default the one under which it is registered */
  readonly prefix?: string
}

const PEER = Type.Object({
  room: Type.Optional(Type.String()),
  token: Type.Optional(Type.String()),
  cookies: Type.Optional(Type.Record(Type.String(), Type.String())),
  origin: Type.Optional(Type.String()),
  transport: Type.Optional(Type.Union([Type.Literal('websocket'), Type.Literal('sse'), Type.Literal('polling')])),
  prefix: Type.Optional(Type.String())
}, { additionalProperties: false })

/** @throws REALTIME_ERR_OPTIONS that names the path */
function checkPeer (options: PeerOptions): void {
  const given: unknown = options
  const fault = explain(
    PEER,
    typeof given === 'object' && given !== null
      ? Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
      : given,
    'options of createPeer()'
  )
  if (fault !== undefined) throw new REALTIME_ERR_OPTIONS(fault)
}

interface Request { readonly prefix: string, readonly url: string, readonly headers: Record<string, string> }

/** Host of requests inside the process. */
const HOST = 'localhost'

function requestOf ({ room, token, cookies, origin }: PeerOptions, prefix: string): Request {
  const headers: Record<string, string> = { host: HOST }
  if (token !== undefined) headers.authorization = `Bearer ${token}`
  if (cookies !== undefined) {
    headers.cookie = Object.entries(cookies).map(([name, value]) => `${name}=${value}`).join('; ')
  }
  if (origin !== undefined || cookies !== undefined) headers.origin = origin ?? `http://${HOST}`
  return { prefix, url: room === undefined ? prefix : `${prefix}/${room}`, headers }
}

function refusal (statusCode: number, body: string): Error {
  let said: { message?: string } = {}
  try {
    said = JSON.parse(body) as { message?: string }
  } catch { /** The answer is not the plugin's. */ }
  return Object.assign(new Error(said.message ?? `refused with ${statusCode}`), { statusCode, ...said })
}

/** The parts that differ between transports. */
interface Wire {
  send (frame: object): void
  fence (): Promise<void>
  cut (): void
  stall (): void
  close (): Promise<void>
}

/** Returns the root of a scope, because the `ready` of a scope can be called while the app starts but hangs later. */
function rootOf (app: FastifyInstance): FastifyInstance {
  const parent = Object.getPrototypeOf(app) as Partial<FastifyInstance> | null
  return typeof parent?.ready === 'function' ? rootOf(parent as FastifyInstance) : app
}

/**
 * Connects a client inside the process.
 *
 * @param app on which fastify-realtime is registered, or a scope below it
 * @throws Error `{ statusCode, code, retry }` when admission refuses the client; REALTIME_ERR_PLUGIN for an app without
 *   the plugin
 */
export async function createPeer (app: FastifyInstance, options: PeerOptions = {}): Promise<Peer> {
  checkPeer(options)
  await rootOf(app).ready()
  const { transport = 'websocket' } = options
  const prefix = prefixOf(app)?.url
  if (prefix === undefined || !app.hasDecorator(transport === 'websocket' ? 'injectWS' : 'rooms')) {
    throw new REALTIME_ERR_PLUGIN(
      'createPeer(app) does not find the plugin: give it the instance on which fastify-realtime is registered; what is registered within a scope is not known outside'
    )
  }
  const queue = new FrameQueue()
  const request = requestOf(options, options.prefix ?? prefix)
  const wire = transport === 'websocket'
    ? await openWebSocket(app, request, queue)
    : transport === 'sse' ? await openSse(app, request, queue) : await openPolling(app, request, queue)
  const welcome = await queue.next('welcome')
  return {
    welcome,
    send: (frame) => { wire.send(frame) },
    next: async (type) => await queue.next(type),
    fence: async () => {
      await wire.fence()
      queue.assertEmpty()
    },
    cut: () => { wire.cut() },
    stall: () => { wire.stall() },
    close: async () => { await wire.close() }
  }
}

async function openWebSocket (app: FastifyInstance, { url, headers }: Request, queue: FrameQueue): Promise<Wire> {
  let fences = 0
  let ws: WebSocket
  try {
    // With `trustProxy` Fastify reads the peer's address of every request; the types of injectWS leave out `socket`.
    ws = await app.injectWS(url, { headers, socket: { remoteAddress: '127.0.0.1' } } as never, {
      onInit: (socket) => {
        socket.on('message', (data) => {
          const frame = JSON.parse(String(data)) as ServerFrame
          if (frame.type !== 'ping') queue.push(frame)
        })
        socket.on('close', (code, reason) => { queue.end(`${code} ${String(reason)}`) })
        socket.on('error', () => undefined)
      }
    })
  } catch (error) {
    // A refused upgrade gives only the status here, so the rest is asked for, as a browser has to do.
    const verdict = await app.inject({ url: `${url}${url.includes('?') ? '&' : '?'}verdict=1`, headers })
    if (verdict.statusCode === 200) throw error
    throw refusal(verdict.statusCode, verdict.body)
  }
  return {
    send: (frame) => { ws.send(JSON.stringify(frame)) },
    fence: async () => {
      const id = `fence-${++fences}`
      ws.send(JSON.stringify({ type: 'ping', id }))
      await queue.next('pong', (frame) => frame.type === 'pong' && frame.id === id)
    },
    cut: () => { ws.terminate() },
    stall: () => { ws.pause() },
    close: async () => {
      ws.close(1000)
      await queue.ended
      await settled()
    }
  }
}

/** Waits for the streams in place of sockets, which close a few turns after their other end. */
async function settled (): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => { setImmediate(resolve) })
}

/** Makes the part that SSE and polling share: messages go by POST, and so does the answer to the server's ping. */
function uplink (
  app: FastifyInstance,
  { prefix, headers }: Request,
  queue: FrameQueue,
  connectionId: () => string
): Pick<Wire, 'send' | 'fence'> & { answer: (frame: ServerFrame) => boolean } {
  const ask = async (frame: object): Promise<Frame> => {
    const refused = (data: object): Frame => {
      const { id, room } = frame as Frame
      return { type: 'error', ...(id === undefined ? {} : { id }), ...(room === undefined ? {} : { room }), data }
    }
    try {
      const answer = await app.inject({
        method: 'POST',
        url: prefix,
        headers: { ...headers, 'x-connection-id': connectionId() },
        payload: frame
      })
      const body = answer.json<Frame>()
      return answer.statusCode === 200 ? body : refused(body)
    } catch (error) {
      // The app is closed, or its answer is no JSON: the client of an application is told by such a frame, too.
      return refused({ code: 'unavailable', message: String(error), retry: 'backoff' })
    }
  }
  const post = async (frame: object): Promise<void> => {
    const answer = await ask(frame)
    if ((frame as Frame).type !== 'pong') queue.push(answer)
  }
  return {
    send: (frame) => { void post(frame) },
    fence: async () => {
      const { alive } = await app.rooms.ping({ connection: connectionId() })
      if (!alive) throw new Error('the connection has ended')
    },
    answer: (frame) => {
      if (frame.type !== 'ping') return false
      void post({ type: 'pong', id: frame.id })
      return true
    }
  }
}

async function openSse (app: FastifyInstance, request: Request, queue: FrameQueue): Promise<Wire> {
  const link = new AbortController()
  const answer = await app.inject({
    url: request.url,
    headers: { ...request.headers, accept: 'text/event-stream' },
    payloadAsStream: true,
    signal: link.signal
  })
  const stream = answer.stream()
  if (answer.statusCode !== 200) {
    let body = ''
    for await (const chunk of stream) body += String(chunk)
    throw refusal(answer.statusCode, body)
  }
  let id = ''
  const { send, fence, answer: answered } = uplink(app, request, queue, () => id)
  const parse = sseParser((data) => {
    const frame = JSON.parse(data) as ServerFrame & { at?: number }
    // A mark, which only a reader that is late answers.
    if (frame.at !== undefined) return
    if (frame.type === 'welcome') id = frame.data.connectionId
    if (!answered(frame)) queue.push(frame)
  })
  stream.on('data', (chunk) => { parse(String(chunk)) })
  stream.on('close', () => { queue.end('the stream ended') })
  stream.on('error', () => undefined)
  return {
    send,
    fence,
    cut: () => { link.abort() },
    stall: () => { stream.pause() },
    close: async () => {
      link.abort()
      await settled()
    }
  }
}

async function openPolling (app: FastifyInstance, request: Request, queue: FrameQueue): Promise<Wire> {
  interface Answer { connectionId: string, cursor: string, rooms: object, frames: ServerFrame[] }
  const poll = async (since?: string): Promise<Answer> => {
    const answer = await app.inject({
      url: `${request.url}${since === undefined ? '' : `?since=${since}&wait=1000`}`,
      headers: request.headers
    })
    if (answer.statusCode !== 200) throw refusal(answer.statusCode, answer.body)
    return answer.json<Answer>()
  }
  const first = await poll()
  const { connectionId } = first
  const { send, fence, answer: answered } = uplink(app, request, queue, () => connectionId)
  const state = { isOpen: true, isStalled: false }
  queue.push({ type: 'welcome', data: { connectionId, rooms: first.rooms } })
  const take = (frames: ServerFrame[]): void => { for (const frame of frames) if (!answered(frame)) queue.push(frame) }
  take(first.frames)
  let wake: (() => void) | undefined
  const run = async (): Promise<void> => {
    let { cursor } = first
    while (state.isOpen) {
      if (state.isStalled) await new Promise<void>((resolve) => { wake = resolve })
      const answer = await poll(cursor)
      if (!state.isOpen) break
      cursor = answer.cursor
      take(answer.frames)
    }
  }
  const running = run().catch(() => undefined).finally(() => { queue.end('the polls ended') })
  const stop = (): void => {
    state.isOpen = false
    wake?.()
  }
  return {
    send,
    fence,
    cut: stop,
    stall: () => { state.isStalled = true },
    close: async () => {
      stop()
      await app.inject({
        method: 'POST',
        url: request.url,
        headers: { ...request.headers, 'x-connection-id': connectionId },
        payload: { type: 'leave' }
      })
      await running
    }
  }
}
