import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { handshake } from '../helpers/raw.js'
import { closePayload, rawFrame } from '../helpers/raw-websocket.js'
import { anyFrame, mutateBytes, STRINGS } from './mutate.js'
import type { Random } from '../helpers/random.js'

/** Credentials of others than users: a key of the server API for rooms that are attacked, and who reads the stats. */
export const API_KEY = 'a-key-of-the-fuzz-that-is-long-enough'
export const STATS_TOKEN = 'a-scraper'

/** What an attack knows: where the server is, and how to be one of its users. */
export interface Target {
  readonly port: number
  readonly token: (user: string, role?: string) => string
  readonly isOver: () => boolean
  /** counts what was sent, by kind */
  readonly count: (kind: string) => void
}

const POSITION = { epoch: 'abcdefgh', offset: 3 }

/** Valid frames, which the attacks change. */
const FRAMES: readonly object[] = [
  { type: 'say', room: 'attack/1', id: 'a-1', data: { text: 'hi', tags: ['a'], to: { name: 'x' } } },
  { type: 'say', room: 'attack/1', data: { text: 'no id', tags: [] } },
  { type: 'type', room: 'attack/1', data: {} },
  { type: 'join', room: 'attack/2', id: 'j-1', data: { since: POSITION } },
  { type: 'join', room: 'attack/3', id: 'j-2', data: { last: 5, connection: 'AAAAAAAAAAAAAAAAAAAAAA' } },
  { type: 'leave', room: 'attack/2', id: 'l-1' },
  { type: 'ping', id: 'p-1' },
  { type: 'pong', id: 'p-1' },
  { type: 'auth', id: 'r-1', data: { ticket: 'none' } },
  { type: 'members', room: 'attack/1', id: 'm-1' },
  { type: 'history', room: 'attack/1', id: 'h-1', data: { since: POSITION, limit: 10 } },
  { type: 'history', room: 'attack/1', id: 'h-2', data: { limit: 100 } },
  { type: 'ack', id: 'k-1' }
]

/** Valid bodies of the server API and of the actions of admins, which the attacks change. */
const BODIES: readonly object[] = [
  { room: 'attack/1', event: 'said', data: { text: 'hi' } },
  { room: 'attack/1', event: 'score', data: { team: 'red' }, except: { user: 'mallory-1' } },
  [{ room: 'attack/1', event: 'said', data: { text: 'a' } }, { room: 'attack/2', event: 'typing', data: { by: 'x' } }],
  { room: 'attack/2', user: 'mallory-2' },
  { user: 'mallory-39', message: 'out', until: 4_102_444_800_000 },
  { tokenId: 'none' },
  { action: 'disconnect', connection: 'AAAAAAAA.1' },
  { action: 'revoke', user: 'mallory-39', duration: 60_000 },
  { action: 'drain', node: 'elsewhere' }
]

function userOf (random: Random): string { return `mallory-${random.int(40)}` }

function breathe (): Promise<void> { return new Promise((resolve) => { setImmediate(resolve) }) }

/** WebSocket connections that send changed frames, and leave in every way. */
export async function attackByFrames (random: Random, { port, token, isOver, count }: Target): Promise<void> {
  while (!isOver()) {
    const query = random.chance(0.3) ? `?room=attack/${random.int(5)}` : ''
    const ws = new WebSocket(`ws://127.0.0.1:${port}/ws/attack/1${query}`, {
      headers: { authorization: `Bearer ${token(userOf(random))}` }
    })
    ws.on('error', () => undefined)
    const closed = once(ws, 'close')
    await Promise.race([once(ws, 'open'), closed]).catch(() => undefined)
    if (random.chance(0.2)) ws.pause()
    for (let frames = 5 + random.int(60); frames > 0 && ws.readyState === WebSocket.OPEN && !isOver(); frames--) {
      ws.send(anyFrame(random, FRAMES), { binary: random.chance(0.01) })
      count('frames')
      if (random.chance(0.3)) await breathe()
      if (random.chance(0.02)) await delay(random.int(50))
    }
    if (random.chance(0.5)) ws.terminate()
    else ws.close(random.pick([1000, 1001, 3000, 4999]))
    if (ws.isPaused) ws.terminate()
    await Promise.race([closed, delay(100)])
    ws.terminate()
  }
}

function anyRawFrame (random: Random): Buffer {
  const payload = random.pick([
    () => anyFrame(random, FRAMES),
    () => random.bytes(random.int(200)),
    () => closePayload(random.int(6_000), random.pick(STRINGS).slice(0, 60)),
    () => Buffer.alloc(0)
  ])()
  const claimed = random.chance(0.05)
    ? { claimed: random.pick([0, 1, 125, 127, 65_536, 2 ** 31, 2 ** 40]), form: 64 as const }
    : {}
  const frame = rawFrame(random.pick([1, 1, 1, 0, 2, 8, 9, 10, random.int(16)]), payload, {
    fin: !random.chance(0.2),
    rsv: random.chance(0.05) ? random.int(8) : 0,
    masked: !random.chance(0.03),
    key: random.bytes(4),
    ...claimed
  })
  return random.chance(0.2) ? mutateBytes(random, frame) : frame
}

async function speak (random: Random, port: number, chunks: readonly Buffer[], isRead: boolean): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: random.chance(0.3) })
  socket.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => { socket.once('close', () => { resolve() }) })
  if (isRead) socket.resume()
  for (const chunk of chunks) {
    if (socket.destroyed) break
    socket.write(chunk)
    if (random.chance(0.3)) await breathe()
  }
  await Promise.race([closed, delay(random.int(30))])
  switch (random.int(3)) {
    case 0: socket.resetAndDestroy(); break
    case 1: socket.end(); break
    default: socket.destroy()
  }
  await Promise.race([closed, delay(50)])
  socket.destroy()
}

/** Upgrades followed by frames that break RFC 6455 in every way, whole or cut anywhere. */
export async function attackByBytes (random: Random, { port, token, isOver, count }: Target): Promise<void> {
  while (!isOver()) {
    const upgrade = Buffer.from(handshake(`/ws/attack/${random.int(3)}`, {
      headers: {
        Authorization: `Bearer ${token(userOf(random))}`,
        ...(random.chance(0.3)
          ? {
              'Sec-WebSocket-Extensions': random.pick([
                'permessage-deflate',
                'permessage-deflate; client_max_window_bits',
                'x-unknown',
                ';;;'
              ])
            }
          : {})
      }
    }))
    const chunks = [random.chance(0.1) ? mutateBytes(random, upgrade) : upgrade]
    for (let frames = random.int(20); frames > 0; frames--) {
      const frame = anyRawFrame(random)
      const cut = random.int(frame.length + 1)
      if (random.chance(0.2)) chunks.push(frame.subarray(0, cut), frame.subarray(cut))
      else chunks.push(frame)
      count('raw frames')
    }
    await speak(random, port, chunks, !random.chance(0.1))
  }
}

const PATHS: readonly string[] = [
  '/ws', '/ws/', '/ws/attack/1', '/ws/attack/1?transport=sse', '/ws/attack/1?wait=10', '/ws/attack/1?last=5&wait=10', '/ws/attack/1?verdict=1', '/ws?room=attack/1&room=attack/2&wait=10',
  '/ws/attack/1?since=MS5BQUFBQUFBQUFBQUFBQUFBQUFBQUFBLjAwMDAwMDAwLi0&wait=10', '/ws/attack/1?at=0:abcdefgh:3&wait=10', '/ws/attack/1?at=@all:abcdefgh:3&wait=10', '/ws/attack/1?ticket=none',
  '/ws/attack/1?token=none', '/ws/stats', '/ws/stats?format=json', '/ws/stats?format=prometheus', '/ws/stats?format=html', '/ws/stats/rooms', '/ws/stats/rooms/attack/1',
  '/ws/stats/connections', '/ws/stats/rooms?limit=5', '/ws/health', '/ws/asyncapi.json', '/ws/ticket', '/ws/@all', '/ws/@user/honest-0', '/ws/@user/mallory-1', '/plain', '/nowhere',
  '/ws/api/publish', '/ws/api/publish', '/ws/api/join', '/ws/api/leave', '/ws/api/revoke', '/ws/api/rooms/attack/1', '/ws/api/rooms/attack/1/history?limit=2', '/ws/api/rooms/attack/1/history?since=abcdefgh:3',
  '/ws/api/rooms/attack/1/state', '/ws/api/users/mallory-1', '/ws/api/openapi.json', '/ws/client.js', '/ws/client.js?v=0', '/ws/health?deep=1', '/ws/stats/nodes', '/ws/stats/actions',
  '/ws/stats/connections?sort=user&limit=2&order=desc', '/ws/stats/connections?sort=latency&search=mal&transport=sse&node=x&after=WyJ1IiwxLCJuIl0', '/ws/stats/connections?user=mallory-1&room=attack/1', '/ws/stats/connections/AAAAAAAA.1',
  '/ws/stats/rooms?sort=members&search=attack', '/ws/stats/room?name=attack%2F1&events=5&data=true', '/ws/stats/dashboard.js', '/ws/stats/dashboard.css'
]

/** Requests of scripts and admins, and of others. */
function anyBearer (random: Random, token: Target['token']): string {
  return random.pick([
    () => token(userOf(random)),
    () => token(userOf(random)),
    () => token('root', 'admin'),
    () => API_KEY,
    () => STATS_TOKEN,
    () => random.pick(['x', 'a.b.c', 'ey..'])
  ])()
}

/** Lone surrogates have no escaped form. */
function escaped (text: string): string { return encodeURIComponent(Buffer.from(text).toString()) }

function anyPath (random: Random): string {
  let path = random.pick(PATHS)
  if (random.chance(0.3)) path = path.replace(/[^/?&=]+$/, escaped(random.pick(STRINGS)))
  if (random.chance(0.2)) {
    path += `${path.includes('?') ? '&' : '?'}${random.pick(['since', 'last', 'wait', 'room', 'at', 'verdict', 'transport', 'format', 'cursor', 'x'])}=${escaped(random.pick(STRINGS))}`
  }
  return random.chance(0.1) ? mutateBytes(random, Buffer.from(path)).toString('latin1').replace(/[\r\n ]/g, '_') : path
}

function anyRequest (random: Random, token: Target['token']): Buffer {
  const method = random.pick(['GET', 'GET', 'GET', 'POST', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH'])
  const headers: string[] = ['Host: localhost']
  if (!random.chance(0.1)) {
    headers.push(
      `Authorization: ${random.pick(['Bearer', 'Bearer', 'Bearer', 'bearer', 'Basic', ''])} ${anyBearer(random, token)}`
    )
  }
  const extra: Array<[string, readonly string[]]> = [
    [
      'Accept',
      ['text/event-stream', 'text/html', 'application/json', '*/*', ';;q=x', 'text/plain;version=0.0.4;q=0.5']
    ],
    ['Origin', ['http://localhost', 'null', 'http://evil.example', '%%%']],
    ['Last-Event-ID', ['x', 'MS4', '%', '\u00ff']],
    ['X-Connection-Id', ['AAAAAAAAAAAAAAAAAAAAAA', 'x', '__proto__']],
    ['Cookie', ['session=x', '=;=;', 'a'.repeat(2_000)]],
    ['Upgrade', ['h2c', 'websocket', 'x', 'websocket, h2c']],
    ['Connection', ['close', 'Upgrade', 'keep-alive, Upgrade']],
    ['Sec-WebSocket-Key', ['dGhlIHNhbXBsZSBub25jZQ==', 'x', '']],
    ['Sec-WebSocket-Version', ['13', '8', '99', 'x']],
    ['Sec-WebSocket-Protocol', ['realtime.v1', 'realtime.v1, bearer.x', 'bearer., ,', ',,,', 'x y']],
    ['X-Forwarded-For', ['1.2.3.4', 'x', '::1, 10.0.0.1']],
    ['Sec-Fetch-Site', ['cross-site', 'same-origin']],
    ['Idempotency-Key', ['a', '', 'x'.repeat(300), '__proto__']],
    ['If-None-Match', ['"x"', '*', 'W/"", ,']]
  ]
  for (const [name, values] of extra) if (random.chance(0.2)) headers.push(`${name}: ${random.pick(values)}`)
  const body = method === 'GET' || method === 'HEAD'
    ? undefined
    : anyFrame(random, random.chance(0.5) ? BODIES : FRAMES)
  if (body !== undefined) {
    headers.push(
      `Content-Type: ${random.chance(0.9) ? 'application/json' : random.pick(['text/plain', 'x', 'application/json; charset=utf-16'])}`
    )
    headers.push(`Content-Length: ${random.chance(0.05) ? random.int(200) : body.length}`)
  }
  const head = Buffer.from(`${method} ${anyPath(random)} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`, 'latin1')
  return body === undefined ? head : Buffer.concat([head, body])
}

/** Requests of every route, one or several on a socket, read or not. */
export async function attackByRequests (random: Random, { port, token, isOver, count }: Target): Promise<void> {
  while (!isOver()) {
    const requests = Array.from({ length: 1 + random.int(4) }, () => {
      const request = anyRequest(random, token)
      count('requests')
      return random.chance(0.1) ? mutateBytes(random, request) : request
    })
    await speak(random, port, random.chance(0.5) ? [Buffer.concat(requests)] : requests, !random.chance(0.1))
  }
}
