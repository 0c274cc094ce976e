import t from 'tap'
import { connect, start, type Running } from '../helpers/net.js'

interface Answer { readonly status: number, readonly text: string }

async function post ({ url, token }: Running, user: string, id: string, text: string): Promise<Answer> {
  const answer = await fetch(`${url}/ws/chat/1`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token(user)}`, 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ type: 'say', id, data: { text } })
  })
  return { status: answer.status, text: await answer.text() }
}

/** Two users and their message ids, which joined by any single character are one text. */
const PAIRS = [
  ':',
  ' ',
  '|',
  '%0A',
  '/',
  '.'
].map((joint) => [{ user: `org${joint}ada`, id: '1' }, { user: 'org', id: `ada${joint}1` }] as const)

for (const [whole, cut] of PAIRS) {
  t.test(
    `the message ${JSON.stringify(cut.id)} of ${JSON.stringify(cut.user)} is not the message ${JSON.stringify(whole.id)} of ${JSON.stringify(whole.user)}: neither silences the other or reads its reply`,
    async (t) => {
      const server = await start(t)
      const reader = await connect(server, { rooms: ['chat/1'], token: server.token('reader') })
      const texts: unknown[] = []
      for (const [{ user, id }, text] of [[cut, 'noise'], [whole, 'the meeting is at ten']] as const) {
        const answer = await post(server, user, id, text)
        t.equal(answer.status, 200, answer.text)
        texts.push(((await reader.next('said')).data as { text: string }).text)
      }
      t.same(texts, ['noise', 'the meeting is at ten'])
    }
  )
}

t.test('no message of a client takes an idempotency key of the application\'s', async (t) => {
  const server = await start(t)
  const reader = await connect(server, { rooms: ['chat/1'], token: server.token('reader') })
  const keys = ['org\norder-43\n1', 'org:order-43:1', 'org order-43 1', 'order-43', 'message:org\norder-43\n1']
  await post(server, 'org', 'order-43', 'x')
  await reader.next('said')
  for (const idempotencyKey of keys) {
    const { recipients } = await server.app.rooms.broadcast('chat/1', 'said', { text: idempotencyKey, by: 'server' }, {
      idempotencyKey
    })
    t.equal(recipients, 1, JSON.stringify(idempotencyKey))
    await reader.next('said')
    const again = await server.app.rooms.broadcast('chat/1', 'said', { text: idempotencyKey, by: 'server' }, {
      idempotencyKey
    })
    t.equal(again.recipients, 0, 'the application\'s own key has effect once')
  }
})
