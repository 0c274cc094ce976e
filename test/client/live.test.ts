import t from 'tap'
import { behind, dial, isOpen, rejection, until } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { chat, declareChat, everyone, inbox, lobby, start, TRANSPORTS } from '../helpers/net.js'

for (const transport of TRANSPORTS) {
  const transports = [transport]

  t.test(`over ${transport}: a message gets its typed reply, and its event arrives with offset and time`, async (t) => {
    const app = await start(t)
    const { client, errors } = dial(t, app, 'ada', { transports })
    const room = client.join(chat.at({ id: '1' }))
    const said: Array<{ text: string, offset: number | undefined, timestamp: number }> = []
    room.on('said', ({ data, offset, timestamp }) => { said.push({ text: data.text, offset, timestamp }) })
    t.same(await room.joined, {})
    t.match(await room.send('say', { text: 'hello' }), { id: /^[a-z\d.]{16,}-1$/ })
    await until('the event', () => said.length === 1)
    t.match(said[0], { text: 'hello', offset: 1 })
    t.ok(Math.abs(said[0]!.timestamp - Date.now()) < 10_000)
    t.equal(typeof client.connectionId, 'string')
    t.same(errors, [])
    t.same(app.loud, [])
  })

  t.test(`over ${transport}: a room joined twice is one room, and a room joined later joins the others`, async (t) => {
    const app = await start(t)
    const { client } = dial(t, app, 'ada', { transports })
    const one = client.join(chat.at({ id: '1' }))
    client.join(chat.at({ id: '1' }))
    await one.joined
    const two = client.join(chat.at({ id: '2' }))
    await two.joined
    const heard: string[] = []
    for (const room of [one, two]) room.on('said', ({ data }) => { heard.push(data.text) })
    await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: 'a', by: 'server' })
    await app.app.rooms.broadcast(chat.at({ id: '2' }), 'said', { text: 'b', by: 'server' })
    await until('both events', () => heard.length === 2)
    t.same(heard.sort(), ['a', 'b'])
  })

  t.test(`over ${transport}: last replays events to a room that is joined first`, async (t) => {
    const app = await start(t)
    for (const text of ['a', 'b', 'c']) {
      await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text, by: 'server' })
    }
    const { client } = dial(t, app, 'ada', { transports })
    const heard: string[] = []
    client.join(chat.at({ id: '1' }), { last: 2 }).on('said', ({ data }) => { heard.push(data.text) })
    await until('two events', () => heard.length === 2)
    t.same(heard, ['b', 'c'])
  })

  t.test(`over ${transport}: since goes on behind a position, and says so when it cannot`, async (t) => {
    const app = await start(t)
    const { position } = await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: 'a', by: 'server' })
    await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: 'b', by: 'server' })
    const { client, gaps } = dial(t, app, 'ada', { transports })
    const heard: string[] = []
    const room = client.join(chat.at({ id: '1' }), { since: position! })
    room.on('said', ({ data }) => { heard.push(data.text) })
    t.same(await room.joined, { resumed: true })
    await until('one event', () => heard.length === 1)
    t.same([heard, gaps], [['b'], []])
    const lost = dial(t, app, 'bob', { transports })
    t.same(await lost.client.join(chat.at({ id: '1' }), { since: { epoch: 'aaaaaaaa', offset: 1 } }).joined, {
      resumed: false
    })
    t.same(lost.gaps, ['chat/1'])
  })

  t.test(`over ${transport}: a refused room rejects with its code and leaves the others alone`, async (t) => {
    const app = await start(t, {
      declare: (app) => {
        declareChat(app, { authorize: ({ params }: { params: { id: string } }) => params.id !== 'secret' })
      }
    })
    const { client, errors } = dial(t, app, 'ada', { transports })
    const fine = client.join(chat.at({ id: '1' }))
    const secret = client.join(chat.at({ id: 'secret' }))
    t.match(await rejection(secret.joined), { code: 'forbidden', retry: 'never', room: 'chat/secret' })
    t.match(await rejection(secret.send('say', { text: 'x' })), { code: 'forbidden' })
    await fine.joined
    t.match(await fine.send('say', { text: 'x' }), { id: /-/ })
    matchList(t, errors, [{ code: 'forbidden', room: 'chat/secret' }])
    t.equal(client.state, 'open')
  })

  t.test(`over ${transport}: a message that the server refuses rejects with code and details`, async (t) => {
    const app = await start(t)
    const { client } = dial(t, app, 'ada', { transports })
    const room = client.join(chat.at({ id: '1' }))
    await room.joined
    matchList(t, await rejection(room.send('say', { text: 1 as unknown as string })), {
      code: 'invalid_message',
      room: 'chat/1',
      details: [{ path: '/text' }]
    })
    t.match(await rejection(room.send('nope' as 'say', { text: '' })), { code: 'message_unknown' })
    t.match(await rejection(room.send('say', { text: 'x'.repeat(70_000) })), { code: 'message_too_large' })
    t.match(await room.send('say', { text: 'and on' }), { id: /-/ })
  })

  t.test(`over ${transport}: a message that is too large costs no link, also one that was sent before the link was there`, async (t) => {
    const app = await start(t)
    const { client, states } = dial(t, app, 'ada', { transports })
    const room = client.join(chat.at({ id: '1' }))
    const large = { text: 'x'.repeat(70_000) }
    const early = rejection(room.send('say', large))
    const behind = room.send('say', { text: 'behind it' })
    t.match(await early, { code: 'message_too_large', room: 'chat/1' })
    t.match(await behind, { id: /-/ })
    t.match(await rejection(room.send('say', large)), { code: 'message_too_large', room: 'chat/1' })
    t.match(await rejection(room.send('say', { text: '\u20ac'.repeat(30_000) })), { code: 'message_too_large' }, 'in bytes')
    t.same(states, ['open'])
  })

  t.test(`over ${transport}: sends before the link stands go out in order when it does`, async (t) => {
    const app = await start(t)
    const { client } = dial(t, app, 'ada', { transports })
    const room = client.join(chat.at({ id: '1' }))
    const heard: string[] = []
    room.on('said', ({ data }) => { heard.push(data.text) })
    await Promise.all(['a', 'b', 'c', 'd'].map(async (text) => await room.send('say', { text })))
    await until('four events', () => heard.length === 4)
    t.same(heard, ['a', 'b', 'c', 'd'])
  })

  t.test(
    `over ${transport}: what is published and sent while all links are cut again and again arrives once and in order`,
    async (t) => {
      const app = await start(t, {
        limits: { rate: { messages: 1_000, burst: 1_000 } },
        declare: (app) => { declareChat(app, { history: { size: 2_000 } }) }
      })
      const net = await behind(t, app)
      const watched = dial(t, net, 'ada', { transports })
      const room = watched.client.join(chat.at({ id: '1' }))
      const heard: string[] = []
      room.on('said', ({ data }) => { heard.push(data.text) })
      await room.joined
      const expected: string[] = []
      const sends: Array<Promise<unknown>> = []
      for (let n = 0; n < 300; n++) {
        const text = `down ${n}`
        expected.push(text)
        await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text, by: 'server' })
        if (n % 3 === 0) sends.push(room.send('say', { text: `up ${n}` }))
        if (n % 100 === 50) {
          net.proxy.cut()
          await until('the client sees the cut', () => watched.client.state !== 'open')
        }
        if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await Promise.all(sends)
      await until('all events', () => heard.length >= 400)
      t.same(heard.filter((text) => text.startsWith('down')), expected)
      t.same(
        heard.filter((text) => text.startsWith('up')),
        expected.filter((_, n) => n % 3 === 0).map((text) => text.replace('down', 'up'))
      )
      t.same(watched.gaps, [])
      t.ok(watched.states.includes('reconnecting'))
    }
  )

  t.test(`over ${transport}: events that history has no more become a gap, and the room goes on`, async (t) => {
    const app = await start(t, { declare: (app) => { declareChat(app, { history: { size: 5 } }) } })
    const net = await behind(t, app)
    const watched = dial(t, net, 'ada', { transports })
    const room = watched.client.join(chat.at({ id: '1' }))
    const heard: string[] = []
    room.on('said', ({ data }) => { heard.push(data.text) })
    await room.joined
    net.proxy.isDown = true
    net.proxy.cut()
    await until('the client sees the cut', () => watched.client.state === 'reconnecting')
    for (let n = 0; n < 20; n++) {
      await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: String(n), by: 'server' })
    }
    net.proxy.isDown = false
    await until('the gap', () => watched.gaps.length > 0)
    t.same(watched.gaps, ['chat/1'])
    await isOpen(watched)
    await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: 'live', by: 'server' })
    await until('the next event', () => heard.includes('live'))
    t.same(heard, ['live'])
  })

  t.test(`over ${transport}: members come and go, and the map is theirs`, async (t) => {
    const app = await start(t, {
      presence: { grace: 200 },
      declare: (app) => { app.room(lobby, { presence: ({ user }) => ({ name: `${(user as { sub: string }).sub}!` }) }) }
    })
    const { client } = dial(t, app, 'ada', { transports })
    const room = client.join(lobby.at({ id: '1' }))
    const log: string[] = []
    room.on('presence', ({ joined, left }) => {
      log.push(
        ...joined.map(({ userId, data }) => `+${userId} ${data.name}`),
        ...left.map(({ userId }) => `-${userId}`)
      )
    })
    await room.joined
    await until('itself', () => room.members.size === 1)
    const bob = dial(t, app, 'bob')
    await bob.client.join(lobby.at({ id: '1' })).joined
    await until('the other', () => room.members.get('bob')?.data.name === 'bob!')
    bob.client.close()
    await until('the other is gone', () => room.members.size === 1)
    t.same(log, ['+ada ada!', '+bob bob!', '-bob'])
  })

  t.test(`over ${transport}: a room that was left is left at once, and its messages reject`, async (t) => {
    const app = await start(t, {
      presence: { grace: 60_000 },
      declare: (app) => { app.room(lobby, { presence: () => ({ name: 'x' }) }) }
    })
    const { client, errors } = dial(t, app, 'ada', { transports })
    const other = dial(t, app, 'bob').client.join(lobby.at({ id: '1' }))
    await other.joined
    const room = client.join(lobby.at({ id: '1' }))
    await room.joined
    await until('both', () => other.members.size === 2)
    const events: string[] = []
    const loop = (async () => { for await (const { type } of room) events.push(type) })()
    await room.leave()
    await until('one', () => other.members.size === 1)
    await loop
    t.same(errors, [])
    t.equal((await client.join(lobby.at({ id: '1' })).joined).resumed, undefined, 'and joins anew')
    await until('both again', () => other.members.size === 2)
  })

  t.test(`over ${transport}: an acknowledged event is acked when what the listeners return has settled`, async (t) => {
    const app = await start(t)
    const { client } = dial(t, app, 'ada', { transports })
    const room = client.join(chat.at({ id: '1' }))
    await room.joined
    let isDone = false
    let release = (): void => {}
    const heard = new Promise<void>((resolve) => {
      room.on('said', async () => {
        resolve()
        await new Promise<void>((resolve) => { release = resolve })
        isDone = true
      })
    })
    // Such an event is live only: between two polls it passes a poller by, who is then not waited for.
    let result
    let first
    do {
      result = app.app.rooms.broadcastWithAck(chat.at({ id: '1' }), 'said', { text: 'x', by: 'server' })
      first = await Promise.race([result.then(() => 'nobody'), heard.then(() => 'heard')])
      await new Promise((resolve) => setImmediate(resolve))
    } while (first === 'nobody')
    t.equal(isDone, false)
    release()
    matchList(t, await result, { acked: ['ada'], missing: [] })
  })

  t.test(`over ${transport}: a link that is dead without a word is noticed and replaced, and nothing is missing`, async (t) => {
    const app = await start(t, { heartbeat: 500, sse: { comment: 500 } })
    const net = await behind(t, app)
    const watched = dial(t, net, 'ada', { transports, timeout: 1_000 })
    const room = watched.client.join(chat.at({ id: '1' }))
    const heard: string[] = []
    room.on('said', ({ data }) => { heard.push(data.text) })
    await room.joined
    net.proxy.kill(undefined, 60_000)
    await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: 'unheard', by: 'server' })
    // A poll is silent as long as it may wait: there the server's own end of the poll would tell.
    if (transport === 'polling') net.proxy.cut()
    await until('the event, over another link', () => heard.length === 1)
    t.same(heard, ['unheard'])
    t.same(watched.gaps, [])
  })

  t.test(`over ${transport}: the built-in rooms are joined like any other`, async (t) => {
    const app = await start(t, {
      declare: (app) => {
        app.room(inbox)
        app.room(everyone)
      }
    })
    const { client } = dial(t, app, 'ada', { transports })
    const heard: string[] = []
    const own = client.join(inbox.at({ id: 'ada' }))
    own.on('shipped', ({ data }) => { heard.push(data.order) })
    const all = client.join(everyone)
    all.on('notice', ({ data }) => { heard.push(data.text) })
    await Promise.all([own.joined, all.joined])
    await app.app.rooms.sendToUser('ada', 'shipped', { order: '7' })
    await app.app.rooms.broadcastAll('notice', { text: 'tea' })
    await until('both', () => heard.length === 2)
    t.same(heard.sort(), ['7', 'tea'])
  })

  t.test(`over ${transport}: a token that runs out is replaced in time, and nothing is missed`, async (t) => {
    const app = await start(t)
    const asked: number[] = []
    const watched = dial(t, app, 'ada', {
      transports,
      token: () => {
        asked.push(Date.now())
        return app.token('ada', {}, 3)
      }
    })
    const room = watched.client.join(chat.at({ id: '1' }))
    const heard: string[] = []
    room.on('said', ({ data }) => { heard.push(data.text) })
    await room.joined
    const expected: string[] = []
    for (let n = 0; asked.length < 3; n++) {
      expected.push(String(n))
      await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: String(n), by: 'server' })
      await new Promise((resolve) => setTimeout(resolve, 20))
      if (n > 1_500) throw new Error(`asked for a token ${asked.length} times`)
    }
    await until('all events', () => heard.length >= expected.length)
    t.same(heard, expected)
    t.same(watched.gaps, [])
    if (transport === 'websocket') t.same(watched.states, ['open'], 'in band, over the same link')
  })

  t.test(`over ${transport}: a server that is drained sends its clients to the next one`, async (t) => {
    const first = await start(t)
    const second = await start(t)
    const net = await behind(t, first)
    const watched = dial(t, net, 'ada', { transports })
    const room = watched.client.join(chat.at({ id: '1' }))
    await room.joined
    net.proxy.target = second.port
    await first.app.rooms.drain()
    await first.app.close()
    t.match(await room.send('say', { text: 'x' }), { id: /-/ })
    await until('another process, another epoch: the application is told', () => watched.gaps.length > 0)
    t.same(watched.gaps, ['chat/1'])
    t.same(watched.errors, [], 'which is no error')
  })

  t.test(`over ${transport}: revoking ends the client with an error that it can show`, async (t) => {
    const app = await start(t)
    const watched = dial(t, app, 'ada', { transports })
    const room = watched.client.join(chat.at({ id: '1' }))
    await room.joined
    const loop = rejection((async () => { for await (const { type } of room) t.fail(type) })())
    await app.app.rooms.revoke({ user: 'ada' })
    await until(`it is closed; ${JSON.stringify(watched)}`, () => watched.client.state === 'closed')
    t.match(await loop, { code: 'revoked' })
    t.match(watched.errors.at(-1), { code: 'revoked' })
    t.match(await rejection(room.send('say', { text: 'x' })), { code: 'revoked' })
    t.match(await rejection(watched.client.join(chat.at({ id: '2' })).joined), { code: 'closed' })
  })
}
