import t from 'tap'
import { createPeer } from '../../lib/testing/index.js'
import { dial, rejection, until } from '../helpers/client.js'
import { ask } from '../helpers/ask.js'
import { matchList } from '../helpers/match-list.js'
import { chat, connect, declareChat, eventually, everyone, inbox, poll, start, TRANSPORTS } from '../helpers/net.js'

interface JoinHook {
  readonly room: { readonly name: string }
  readonly connection: { readonly id: string }
  readonly userId: string
}

t.test(
  'a room that the server puts a poll into ends with the answer: onLeave runs, the slot is free, and the next poll can be put there again',
  async (t) => {
    let joins = 0
    const leaves: string[] = []
    const server = await start(t, {
      declare: (app) => {
        declareChat(app, {
          capacity: 1,
          onJoin: () => { joins++ },
          onLeave: ({ code }: { code: string }) => { leaves.push(code) }
        })
      }
    })
    const ada = { token: server.token('ada') }
    let { cursor } = await poll(server, ada)
    for (let round = 1; round <= 2; round++) {
      const waiting = poll(server, { ...ada, query: { since: cursor, wait: '3000' } })
      await eventually(
        'the join',
        async () => await server.app.rooms.join({ user: 'ada' }, 'chat/9'),
        (touched) => touched === 1
      )
      const answer = await waiting;
      ({ cursor } = answer)
      matchList(t, answer.frames, [{ type: 'joined', room: 'chat/9' }])
      t.equal(joins, round)
      t.same(leaves, Array<string>(round).fill('left'))
      t.equal((await ask(server, 'verdict', { path: '/ws/chat/9', token: server.token('bob') })).status, 200)
    }
  }
)

t.test('a room that a poll was taken out of between two answers is told with the next', async (t) => {
  const server = await start(t)
  const ada = { token: server.token('ada'), rooms: ['chat/1'] }
  const { cursor } = await poll(server, ada)
  t.equal(await server.app.rooms.leave({ user: 'ada' }, 'chat/1'), 1)
  const answer = await poll(server, { ...ada, query: { since: cursor, wait: '3000' } })
  matchList(t, answer.frames, [{ type: 'left', room: 'chat/1', data: { code: 'left' } }])
  t.same((await poll(server, { ...ada, query: { since: answer.cursor, wait: '1' } })).frames, [], 'once')
})

for (const transport of ['websocket', 'sse'] as const) {
  t.test(
    `over ${transport} the client tells of the rooms that the server puts it into and takes it out of, and joins them without asking`,
    async (t) => {
      const server = await start(t, {
        declare: (app) => {
          declareChat(app, { authorize: ({ params }: { params: { id: string } }) => params.id === '1' })
        }
      })
      const { client, errors } = dial(t, server, 'ada', { transports: [transport] })
      const told: string[] = []
      client.on('joined', ({ room }) => { told.push(`joined ${room!}`) })
      client.on('left', ({ room, code }) => { told.push(`left ${room!} ${code!}`) })
      await client.join(chat.at({ id: '1' })).joined
      t.equal(await server.app.rooms.join({ user: 'ada' }, 'chat/2'), 1)
      await until('it is told', () => told.length === 1)
      const room = client.join(chat.at({ id: '2' }))
      await room.joined
      const heard: string[] = []
      room.on('said', ({ data }) => { heard.push(data.text) })
      await server.app.rooms.broadcast('chat/2', 'said', { text: 'hello', by: 'server' })
      await until('the event', () => heard.length === 1)
      await server.app.rooms.leave({ user: 'ada' }, 'chat/2')
      await until('it is told', () => told.length === 2)
      t.same(told, ['joined chat/2', 'left chat/2 left'])
      matchList(t, errors, [{ code: 'left', room: 'chat/2' }])
      t.match(await rejection(room.send('say', { text: 'x' })), { code: 'left' })
    }
  )
}

for (const transport of ['websocket', 'sse'] as const) {
  t.test(`over ${transport} a room that the server has put a client into is, when it is joined, as it is by then`, async (t) => {
    const server = await start(t, {
      declare: (app) => {
        declareChat(app, {
          presence: true,
          authorize: ({ params, userId }: { params: { id: string }, userId: string }) => params.id === '1' || userId !== 'ada'
        })
      }
    })
    const { client, gaps, errors } = dial(t, server, 'ada', { transports: [transport] })
    const told: string[] = []
    client.on('joined', ({ room }) => { told.push(room!) })
    const fence = client.join(chat.at({ id: '1' }))
    const heard: string[] = []
    fence.on('said', ({ data }) => { heard.push(data.text) })
    await fence.joined
    t.equal(await server.app.rooms.join({ user: 'ada' }, 'chat/2'), 1)
    await until('it is told', () => told.length === 1)
    const eve = dial(t, server, 'eve').client.join(chat.at({ id: '2' }))
    await eve.joined
    await dial(t, server, 'bob').client.join(chat.at({ id: '2' })).joined
    await until('the presence', () => eve.members.has('bob'))
    await server.app.rooms.broadcast('chat/2', 'score', { team: 'a', points: 1 })
    await server.app.rooms.broadcast('chat/1', 'said', { text: 'fence', by: 'server' })
    await until('the fence', () => heard.length === 1)

    matchList(t, await server.app.rooms.broadcastWithAck('chat/2', 'said', { text: 'x', by: 'server' }, { timeout: 300 }), {
      acked: ['bob', 'eve'], missing: ['ada']
    }, 'who has not joined it handles no event')

    const room = client.join(chat.at({ id: '2' }))
    t.same([...room.members.keys()].sort(), ['ada', 'bob', 'eve'])
    t.same([...room.state.get('score')!.values()], [{ team: 'a', points: 1 }])
    await room.joined
    const scores: number[] = []
    room.on('score', ({ data }) => { scores.push(data.points) })
    await server.app.rooms.broadcast('chat/2', 'score', { team: 'a', points: 2 })
    await until('the event', () => scores.length === 1)
    t.same([gaps, errors], [[], []])

    t.equal(await server.app.rooms.join({ user: 'ada' }, 'chat/3'), 1)
    await until('it is told', () => told.length === 2)
    await server.app.rooms.leave({ user: 'ada' }, 'chat/3')
    await server.app.rooms.broadcast('chat/1', 'said', { text: 'fence', by: 'server' })
    await until('the fence', () => heard.length === 2)
    t.same(errors, [], 'nor is the end of what was not joined')
    t.match(await rejection(client.join(chat.at({ id: '3' })).joined), { code: 'forbidden' }, 'it is in no such room any more')
  })
}

t.test('a raw peer joins where the server has put it, whatever authorize says', async (t) => {
  const server = await start(t, { declare: (app) => { declareChat(app, { authorize: () => false }) } })
  const ada = await connect(server, { token: server.token('ada') })
  await server.app.rooms.join({ connection: ada.id }, 'chat/2')
  await ada.next('joined')
  ada.send({ type: 'join', room: 'chat/2', id: '1' })
  t.match(await ada.next('ack'), { id: '1', room: 'chat/2' })
})

t.test('who joins the built-in rooms, and resumes there, runs their hooks once', async (t) => {
  const hooks: string[] = []
  const server = await start(t, {
    declare: (app) => {
      app.room(everyone, { onJoin: () => { hooks.push('join @all') }, onLeave: () => { hooks.push('leave @all') } })
      app.room(inbox, { onJoin: () => { hooks.push('join @user') }, onLeave: () => { hooks.push('leave @user') } })
    }
  })
  const ada = await connect(server, { token: server.token('ada') })
  const position = (ada.welcome.data as { rooms: Record<string, { epoch: string, offset: number }> }).rooms['@all']!
  await server.app.rooms.broadcastAll('notice', { text: 'missed' })
  await ada.next('notice')
  for (const room of ['@all', '@user/ada']) {
    ada.send({ type: 'join', room, id: room })
    await ada.next('ack')
  }
  ada.send({ type: 'join', room: '@all', id: 'again', data: { since: position } })
  t.match(await ada.next('ack'), { data: { resumed: true } })
  t.match(await ada.next('notice'), { data: { text: 'missed' } })
  await server.app.rooms.broadcastAll('notice', { text: 'live' })
  t.match(await ada.next('notice'), { data: { text: 'live' } })
  await ada.fence()
  await ada.close()
  await eventually('the end', () => hooks.length, (count) => count === 4)
  t.same(hooks.sort(), ['join @all', 'join @user', 'leave @all', 'leave @user'])
})

t.test('the burst that the options allow finds room to wait', async (t) => {
  let handled = 0
  const declare = (app: Parameters<typeof declareChat>[0], extra = {}): void => {
    app.room(chat, { ...extra, on: { say: () => ({ id: '' }), async type () { handled++ } } })
  }
  for (const [burst, options] of [
    [100, { declare }],
    [300, { declare, limits: { rate: { messages: 1, burst: 300 } } }]
  ] as const) {
    handled = 0
    const server = await start(t, options)
    const ada = await connect(server, { token: server.token('ada'), rooms: ['chat/1'] })
    for (let n = 0; n < burst; n++) ada.send({ type: 'type', room: 'chat/1', id: String(n), data: {} })
    for (let n = 0; n < burst; n++) {
      t.match(await ada.next('answer', ({ type }) => type === 'ack' || type === 'error'), { type: 'ack' })
    }
    t.equal(handled, burst)
  }
})

for (const transport of ['sse', 'polling'] as const) {
  t.test(`over ${transport} a peer of the tests that sends when the app is closed is told by a frame`, async (t) => {
    const server = await start(t)
    const peer = await createPeer(server.app, { transport, token: server.token('ada'), room: 'chat/1' })
    await server.app.close()
    peer.send({ type: 'say', room: 'chat/1', id: '1', data: { text: 'late' } })
    // A stream is told of its own end first.
    let told = await peer.next('error')
    if (told.id === undefined) told = await peer.next('error')
    t.match(told, { id: '1', room: 'chat/1', data: { code: 'unavailable' } })
  })
}

for (const transport of TRANSPORTS) {
  t.test(
    `over ${transport} a peer of the tests sends cookies as a browser does, from the app's own origin or the one that is given`,
    async (t) => {
      const server = await start(t, { origins: 'same', auth: { carriers: ['header', 'cookie'], cookie: 'session' } })
      const cookies = { session: server.token('ada') }
      for (const origin of [undefined, 'http://localhost']) {
        await (await createPeer(server.app, {
          transport,
          cookies,
          ...(origin === undefined ? {} : { origin })
        })).close()
      }
      await t.rejects(createPeer(server.app, { transport, cookies, origin: 'https://evil.example' }), {
        statusCode: 403,
        code: 'origin_refused'
      })
    }
  )
}

for (const transport of TRANSPORTS) {
  t.test(
    `${transport}: what \`onJoin\` puts its connection into is told behind the welcome, and waits for nothing of that connection`,
    async (t) => {
      const joined: Record<string, number[]> = {}
      const server = await start(t, {
        declare: (app) => {
          declareChat(app, {
            async onJoin ({ room, connection, userId }: JoinHook) {
              const others = room.name === 'chat/1' ? ['chat/2', 'chat/9'] : room.name === 'chat/2' ? ['chat/1', 'chat/8'] : []
              const counts: number[] = []
              for (const other of [room.name, ...others]) {
                const target = other === 'chat/8' ? { user: userId } : { connection: connection.id }
                counts.push(await app.rooms.join(target, other))
              }
              joined[room.name] = counts
            }
          })
        }
      })
      const peer = await connect(server, { transport, token: server.token('ada'), rooms: ['chat/1', 'chat/2'] })
      t.same(Object.keys(peer.welcome.data?.rooms ?? {}).sort(), ['chat/1', 'chat/2'])
      t.same(joined, {
        'chat/1': [0, 0, 1],
        'chat/2': [0, 0, 1],
        'chat/8': [0],
        'chat/9': [0]
      })
      const told: string[] = []
      for (let i = 0; i < 2; i++) told.push((await peer.next('joined')).room!)
      t.same(told.sort(), ['chat/8', 'chat/9'])
      for (const room of told) await server.app.rooms.broadcast(room, 'said', { text: room, by: 'server' })
      const heard: string[] = []
      if (transport === 'polling') return
      for (let i = 0; i < 2; i++) heard.push((await peer.next('said')).room!)
      t.same(heard.sort(), ['chat/8', 'chat/9'])
    }
  )

  t.test(`${transport}: what \`onJoin\` puts its connection into is refused beyond the rooms that it may have`, async (t) => {
    const server = await start(t, {
      limits: { rooms: 2 },
      declare: (app) => {
        declareChat(app, {
          async onJoin ({ connection, room }: JoinHook) {
            if (room.name !== 'chat/9') await app.rooms.join({ connection: connection.id }, 'chat/9')
          }
        })
      }
    })
    const peer = await connect(server, { transport, token: server.token('ada'), rooms: ['chat/1', 'chat/2'] })
    t.same(Object.keys(peer.welcome.data?.rooms ?? {}).sort(), ['chat/1', 'chat/2'])
    await peer.fence()
    t.equal((await server.app.rooms.connections({ room: 'chat/9' })).total, 0)
  })

  t.test(`${transport}: a join by the server waits for no \`onJoin\` of its connection`, async (t) => {
    let [entered, end] = [(): void => {}, (): void => {}]
    const isIn = new Promise<void>((resolve) => { entered = resolve })
    const isOver = new Promise<void>((resolve) => { end = resolve })
    const server = await start(t, {
      declare: (app) => {
        declareChat(app, {
          async onJoin () {
            entered()
            await isOver
          }
        })
      }
    })
    connect(server, { transport, token: server.token('ada'), rooms: ['chat/1'] }).catch(() => {})
    await isIn
    t.equal(await server.app.rooms.join({ user: 'ada' }, 'chat/1'), 0, 'it enters that room by itself')
    t.equal(await server.app.rooms.join({ user: 'ada' }, 'chat/9'), 1)
    end()
  })
}

for (const way of ['in one turn', 'one after the other', 'after a while'] as const) {
  t.test(`a handler takes its connection out of its room and puts it back, ${way}, without waiting for itself`, async (t) => {
    let joins = 0
    const server = await start(t, {
      timeouts: { handler: 5_000 },
      declare: (app) => {
        app.room(chat, {
          onJoin: async () => {
            joins++
            await new Promise(setImmediate)
          },
          on: {
            async say ({ sender, room: { name } }) {
              const connection = { connection: sender! }
              if (way === 'after a while') await new Promise(setImmediate)
              const { rooms } = app
              const [left, joined] = way === 'in one turn'
                ? await Promise.all([rooms.leave(connection, name), rooms.join(connection, name)])
                : [await rooms.leave(connection, name), await rooms.join(connection, name)]
              return { id: `${left} ${joined}` }
            },
            type () {}
          }
        })
      }
    })
    const peer = await connect(server, { token: server.token('ada'), rooms: ['chat/1'] })
    for (const id of ['a', 'b']) peer.send({ type: 'say', room: 'chat/1', id, data: { text: '' } })
    for (const id of ['a', 'b']) {
      t.match(await peer.next('left'), { room: 'chat/1' })
      t.match(await peer.next('joined'), { room: 'chat/1' })
      t.match(await peer.next('ack'), { id, data: { id: '1 1' } })
    }
    t.equal(joins, 3)
  })
}
