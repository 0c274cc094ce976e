import { createHash } from 'node:crypto'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocketServer } from 'ws'
import { dial, isOpen, rejection, until, type Watched } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import type { User } from '../../lib/index.js'
import {
  chat, declareChat, start, TRANSPORTS, type Running, type StartOptions, type TransportName
} from '../helpers/net.js'

/** What an application can tell of a refusal or an end. */
interface Told {
  readonly code?: string | undefined
  readonly message?: string | undefined
  readonly retry?: string | undefined
  readonly room?: string | undefined
}

interface Row {
  readonly options?: StartOptions
  readonly token?: (server: Running) => string
  /** the server's part; the client is in chat/1 by then, unless it was refused */
  readonly act?: (server: Running, watched: Watched) => unknown
  readonly told: Told | undefined
  readonly state: string
  /** the room that was good is still heard */
  readonly isServed?: true
}

const refuseTwo: StartOptions = {
  declare: (app) => {
    declareChat(app, { authorize: ({ params }: { params: { id: string } }) => params.id !== '2' })
  }
}

/** Finds the session of a token until it expires, to the second. */
function sessionOf (_request: unknown, token: string | undefined): User | null {
  const exp = Number(token?.slice('session-'.length))
  return exp * 1_000 > Date.now() ? { sub: 'ada', exp } as User : null
}

const ROWS: Record<string, Row> = {
  'a credential that is refused': {
    token: () => 'no-token',
    told: { code: 'unauthorized', message: 'a valid credential is needed', retry: 'refresh' },
    state: 'closed'
  },
  'a credential that expires': {
    token: ({ token }) => token('ada', {}, '1s'),
    told: { code: 'token_expired', message: 'the credential has expired', retry: 'refresh' },
    state: 'closed'
  },
  'a session that expires, of which the app\'s authenticate knows nothing from then on': {
    options: { authenticate: sessionOf },
    token: () => `session-${Math.ceil(Date.now() / 1_000) + 1}`,
    // Each transport is used all the time: polls come back at once, and there are messages by POST.
    act: async ({ app }, { client, errors }) => {
      const room = client.join(chat.at({ id: '1' }))
      await until('the end', async () => {
        await app.rooms.broadcast('chat/1', 'said', { text: 'news', by: 'bob' })
        room.send('type', {}).catch(() => undefined)
        return errors.length > 0
      })
    },
    told: { code: 'token_expired', message: 'the credential has expired', retry: 'refresh' },
    state: 'closed'
  },
  'one bad room of several': {
    options: refuseTwo,
    act: async (_server, { client }) => {
      t.match(await rejection(client.join(chat.at({ id: '2' })).joined), {
        code: 'forbidden',
        message: 'not allowed',
        room: 'chat/2'
      })
    },
    told: { code: 'forbidden', message: 'not allowed', retry: 'never', room: 'chat/2' },
    state: 'open',
    isServed: true
  },
  'a user who is revoked': {
    act: async ({ app }) => { await app.rooms.revoke({ user: 'ada' }) },
    told: { code: 'revoked', message: 'access was revoked', retry: 'never' },
    state: 'closed'
  },
  'a connection that is revoked, with words longer than a close frame takes': {
    act: async ({ app }, { client }) => {
      await app.rooms.revoke({ connection: client.connectionId! }, {
        message: `You were removed by an admin. ${'Sorry. '.repeat(40)}`
      })
    },
    told: { code: 'revoked', message: `You were removed by an admin. ${'Sorry. '.repeat(40)}`, retry: 'never' },
    state: 'closed'
  },
  'a room that the server takes it out of': {
    act: async ({ app }, { client }) => {
      await client.join(chat.at({ id: '3' })).joined
      await app.rooms.leave({ user: 'ada' }, 'chat/3')
    },
    told: { code: 'left', message: 'the server ended it', retry: 'never', room: 'chat/3' },
    state: 'open',
    isServed: true
  },
  'a server that drains': {
    act: async ({ app }) => { await app.rooms.drain() },
    told: undefined,
    state: 'reconnecting'
  }
}

async function one (
  t: Test,
  transport: TransportName,
  { options, token, act, isServed, state }: Row
): Promise<Watched> {
  const server = await start(t, options)
  const given = token?.(server)
  const watched = dial(t, server, 'ada', { transports: [transport], ...(given === undefined ? {} : { token: given }) })
  const room = watched.client.join(chat.at({ id: '1' }))
  if (act !== undefined) {
    await room.joined
    await act(server, watched)
  }
  await until(
    `${transport}: ${state}; ${watched.states.join()}`,
    () => watched.client.state === state && (state !== 'open' || watched.errors.length > 0)
  )
  if (isServed) t.match(await room.send('say', { text: 'still here' }), { id: String }, 'the good room is served')
  return watched
}

for (const [what, row] of Object.entries(ROWS)) {
  t.test(`${what}: the application is told the same, once, over all transports`, async (t) => {
    await Promise.all(TRANSPORTS.map(async (transport) => {
      const { errors } = await one(t, transport, row)
      t.same(
        errors.map(({ code, message, retry, room }: Told) => ({
          code,
          message,
          retry,
          ...(room === undefined ? {} : { room })
        })),
        row.told === undefined ? [] : [row.told],
        transport
      )
      for (const error of errors) t.ok(error instanceof Error, 'one kind of object')
    }))
  })
}

t.test('a reader for whom too much waits is told why in the answer of its poll', async (t) => {
  const server = await start(t, { limits: { outbox: 100_000, event: 90_000 } })
  const { client, errors } = dial(t, server, 'ada', { transports: ['polling'] })
  await client.join(chat.at({ id: '1' })).joined
  await until('the cut', async () => {
    void server.app.rooms.broadcast('chat/1', 'said', { text: 'x'.repeat(80_000), by: 'ada' })
    await server.app.rooms.broadcast('chat/1', 'said', { text: 'x'.repeat(80_000), by: 'ada' })
    return errors.length > 0
  })
  t.match(errors[0], { code: 'slow_consumer', message: 'reads too slowly', retry: 'backoff', retryIn: Number })
})

async function proxy (
  t: Test,
  answer: (response: http.ServerResponse) => void,
  upgrade?: (request: http.IncomingMessage, socket: import('node:stream').Duplex) => void
): Promise<string> {
  const server = http.createServer((_request, response) => { answer(response) })
  server.on('upgrade', (request, socket) => {
    socket.on('error', () => undefined)
    if (upgrade !== undefined) return upgrade(request, socket)
    socket.end('HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
  })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

for (const status of [502, 503, 504]) {
  t.test(
    `a proxy that answers ${status} is told alike over all transports, with the time of the next attempt`,
    async (t) => {
      const url = await proxy(t, (response) => {
        response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>no</h1>')
      })
      for (const transport of TRANSPORTS) {
        const { errors, client } = dial(t, { url, token: () => 'x' }, 'ada', { transports: [transport] })
        await until('the error', () => errors.length > 0)
        matchList(
          t,
          errors,
          [{ code: 'unavailable', message: `HTTP ${status}`, retry: 'backoff', attempt: 1, retryIn: Number, transport }]
        )
        client.close()
      }
    }
  )
}

t.test(
  'a middlebox that answers 101 and closes, with or without words, is not taken for the server: the client falls to a stream',
  async (t) => {
    const server = await start(t)
    const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'realtime.v1' })
    const closes: Array<(request: http.IncomingMessage, socket: import('node:stream').Duplex) => void> = [
      (request, socket) => {
        sockets.handleUpgrade(request, socket, Buffer.alloc(0), (ws) => { ws.close(1011, 'upstream error') })
      },
      (request, socket) => {
        sockets.handleUpgrade(request, socket, Buffer.alloc(0), (ws) => { ws.close(1001, 'draining') })
      },
      ({ headers }, socket) => {
        const accept = createHash('sha1').update(
          `${headers['sec-websocket-key']!}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
        ).digest('base64')
        socket.end(
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: realtime.v1\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
        )
      }
    ]
    for (const close of closes) {
      const url = await proxy(t, () => undefined, close)
      const watched = dial(t, server, 'ada', {
        WebSocket: class extends (await import('ws')).WebSocket {
          constructor (_url: string, protocols: string[]) { super(`${url.replace('http', 'ws')}/ws`, protocols) }
        }
      })
      await isOpen(watched)
      t.equal(watched.client.transport, 'sse')
      matchList(t, watched.errors, [{ code: 'transport_blocked', transport: 'websocket', retryIn: 0 }])
      watched.client.close()
    }
  }
)
