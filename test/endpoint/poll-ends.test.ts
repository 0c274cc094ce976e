import t, { type Test } from 'tap'
import { Refusal } from '../../lib/errors/refusal.js'
import { httpError } from '../../lib/errors/http.js'
import { codes, isCode } from '../../lib/protocol/codes.js'
import { chat, start, type Running, type StartOptions } from '../helpers/net.js'
import { until } from '../helpers/servers.js'

t.test('every code has an HTTP status with a name, and a body that says the code', async (t) => {
  for (const word of Object.keys(codes)) {
    if (!isCode(word)) throw new Error(word)
    const body = httpError(new Refusal(word, { room: 'chat/1' }))
    t.ok(body.statusCode >= 400 && body.statusCode <= 599, word)
    t.not(body.error, 'Error', `${word}: status ${body.statusCode} has a name`)
    t.match(body, { statusCode: codes[word].status, code: word, retry: codes[word].retry, room: 'chat/1' })
  }
})

interface Held {
  readonly server: Running
  readonly id: string
  readonly answer: Promise<{ status: number, body: { code?: string, statusCode?: number, retry?: string } }>
}

/** A poll that waits for news. */
async function held (t: Test, options: StartOptions = {}): Promise<Held> {
  let polls = 0
  const server = await start(t, { ...options, route: { preHandler: async () => { polls++ } } })
  const headers = { authorization: `Bearer ${server.token('ada', { jti: 't1' })}` }
  const first = await (await fetch(`${server.url}/ws/chat/1`, {
    headers
  })).json() as { cursor: string, connectionId: string }
  const answer = fetch(`${server.url}/ws/chat/1?since=${first.cursor}`, { headers })
    .then(async (response) => ({ status: response.status, body: await response.json() as { code?: string } }))
  await until('the second poll', () => polls === 2)
  // It waits by the time that a request behind it is answered.
  await (await fetch(`${server.url}/ws/health`)).text()
  return { server, id: first.connectionId, answer }
}

t.test('a poll that its outbox cuts is answered with the code and its status', async (t) => {
  const { server, answer } = await held(t, { limits: { event: 1_000, outbox: 4_000 } })
  for (let i = 0; i < 20; i++) {
    void server.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: 'x'.repeat(500), by: 'ada' })
  }
  t.match(await answer, { status: 503, body: { statusCode: 503, code: 'slow_consumer', retry: 'backoff' } })
  t.same(server.loud.filter((line) => (line as { level: number }).level >= 50), [], 'it is no error of the server')
})

for (const [what, end, status, code] of [
  [
    'a revocation of its user',
    async (server: Running) => { await server.app.rooms.revoke({ user: 'ada' }) },
    403,
    'revoked'
  ],
  [
    'a revocation of its connection',
    async (server: Running, id: string) => { await server.app.rooms.revoke({ connection: id }) },
    403,
    'revoked'
  ],
  [
    'a revocation of its token',
    async (server: Running) => { await server.app.rooms.revoke({ tokenId: 't1' }) },
    403,
    'revoked'
  ],
  ['a newer connection of its user', async (server: Running) => {
    await fetch(`${server.url}/ws/chat/2`, { headers: { authorization: `Bearer ${server.token('ada')}` } })
  }, 409, 'replaced']
] as const) {
  t.test(`a poll that ${what} ends is answered with the code and its status`, async (t) => {
    const { server, id, answer } = await held(t, { limits: { user: { connections: 1, then: 'replace' } } })
    await end(server, id)
    t.match(await answer, { status, body: { statusCode: status, code, retry: 'never' } })
  })
}
