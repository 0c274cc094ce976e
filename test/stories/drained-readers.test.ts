import t from 'tap'
import { chat, declareChat, start, TRANSPORTS, connect } from '../helpers/net.js'
import { ai } from '../helpers/growing-room.js'
import { dial, until } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'

const room = ai.at({ id: '1' })

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} a reader has all that it is owed by the end of a drain`, async (t) => {
    const { app, ...server } = await start(t, {
      declare: (app) => {
        declareChat(app)
        app.room(ai, { flush: 5 })
      }
    })
    const { client, errors } = dial(t, server, 'ada', { transports: [transport] })
    const [answers, talk] = [client.join(room), client.join(chat.at({ id: '1' }))]
    let heard: { text?: string, end?: string | undefined } = {}
    const said: string[] = []
    answers.on('answer', ({ data, end }) => { heard = { text: data.text, end: typeof end === 'object' ? end.code : end } })
    talk.on('said', ({ data }) => { said.push(data.text) })
    const other = client.join(chat.at({ id: '2' }))
    await Promise.all([answers.joined, talk.joined, other.joined])
    const writer = app.rooms.stream(room, 'answer', { id: 'a' })
    await writer.write('some')
    await until('the beginning is heard', () => heard.text === 'some')
    // The answer with these may be on its way when the drain begins: its reader is between two polls then.
    await writer.write(' more')
    await until('more is heard', () => heard.text === 'some more')
    void writer.write(' and the last').catch(() => {})
    await app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: 'goodbye', by: 'x' })
    await app.rooms.leave({ user: 'ada' }, 'chat/2')
    const before = performance.now()
    await app.rooms.drain()
    t.ok(performance.now() - before < 900, 'nobody is waited for who has been told')
    await until('the end is heard', () => heard.end !== undefined)
    t.same(heard, { text: 'some more and the last', end: 'draining' })
    t.same(said, ['goodbye'])
    t.match(errors[0], { code: 'left', room: 'chat/2' })
  })
}

t.test('who has not polled again a second later is not waited for, nor at all once polls are refused', async (t) => {
  for (const end of ['drain', 'close'] as const) {
    const server = await start(t)
    const { app } = server
    const peer = await connect(server, { transport: 'polling', token: server.token('ada') })
    peer.cut()
    const before = performance.now()
    if (end === 'drain') await app.rooms.drain({ timeout: 2_500 })
    else await app.close()
    const took = performance.now() - before
    t.ok(took < (end === 'drain' ? 2_000 : 900), `${end}: ${Math.round(took)} ms`)
  }
})

t.test('a poll that comes while the server drains is answered with what was broadcast meanwhile, and is the last', async (t) => {
  const server = await start(t)
  const headers = { authorization: `Bearer ${server.token('ada')}` }
  const ask = async (since = ''): Promise<Response> => {
    return await fetch(`${server.url}/ws/chat/1?transport=polling${since}`, { headers })
  }
  const { cursor } = await (await ask()).json() as { cursor: string }
  await server.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: 'goodbye', by: 'x' })
  const drained = server.app.rooms.drain()
  const answer = await ask(`&since=${cursor}&wait=20000`)
  matchList(t, await answer.json(), { frames: [{ type: 'said', data: { text: 'goodbye' } }] })
  t.equal(answer.headers.get('retry-after'), '1')
  await drained
  const late = await ask(`&since=${cursor}`)
  matchList(t, [late.status, await late.json()], [503, { code: 'draining' }])
})
