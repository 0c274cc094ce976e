import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { matchList } from '../../helpers/match-list.js'
import {
  connect, declareChat, eventually, inbox, poll, statsOf, TRANSPORTS, type NetPeer, type Running, type StartOptions
} from '../../helpers/net.js'
import { Client, Nodes, Publisher, ROOM, stream, upTo, type Ground } from './client.js'

const declare = (history: object | false): ((app: Running['app']) => void) => (app) => { app.room(stream, { history }) }
const spaced = (n: number): string => String(n).replace(/\B(?=(\d{3})+$)/g, ' ')

/** What a client that was cut may rely on, on every transport, whatever carries events between nodes. */
export function recovery (ground: Ground): void {
  const { name, run, isCounted, isAtOnce, patience } = ground

  for (const transport of TRANSPORTS) {
    const begin = async (t: Test, history: object | false = {
      size: 100
    }, options: StartOptions = {}): Promise<Nodes> => await Nodes.start(t, ground, {
      declare: declare(history),
      limits: { user: { connections: 10_000, then: 'reject' } },
      presence: { grace: 200 },
      ...options
    })

    t.test(
      `${name}, ${transport}: a position is handed out at join without any traffic, and a resume from it misses nothing`,
      async (t) => {
        const nodes = await begin(t)
        const client = new Client(nodes, 'ada')
        await client.open(transport)
        t.equal(client.place!.position.offset, 0)
        client.cut()
        await nodes.publish(1, 5)
        await client.open(transport)
        t.equal(client.resumed, true)
        await client.has(5)
        t.same(client.got, upTo(5))
        await nodes.assertLedgers(t)
      }
    )

    t.test(`${name}, ${transport}: a resume after the room has emptied is a resume`, async (t) => {
      const nodes = await begin(t)
      const client = new Client(nodes, 'ada')
      await client.open(transport)
      await nodes.publish(1, 1)
      await client.has(1)
      client.cut()
      await nodes.isEmpty()
      await nodes.publish(2, 4)
      await client.open(transport)
      t.equal(client.resumed, true)
      await client.has(4)
      t.same(client.got, upTo(4))
    })

    t.test(
      `${name}, ${transport}: beyond the window it is told resumed: false and the current position, and nothing is replayed`,
      async (t) => {
        const nodes = await begin(t, { size: 5 })
        const client = new Client(nodes, 'ada')
        await client.open(transport)
        client.cut()
        await nodes.publish(1, 20)
        await client.open(transport)
        t.equal(client.resumed, false)
        t.equal(client.place!.position.offset, 20)
        await client.peer!.fence()
        await nodes.publish(21, 21)
        await client.has(1)
        t.same(client.got, [21])
      }
    )

    t.test(`${name}, ${transport}: beyond the age it is resumed: false, too`, async (t) => {
      const nodes = await begin(t, { size: 100, ttl: 40 })
      const client = new Client(nodes, 'ada')
      await client.open(transport)
      client.cut()
      await nodes.publish(1, 3)
      await eventually(
        'age',
        async () => await nodes.sum(async ({ app }) => (await app.rooms.history(ROOM)).events.length),
        (length) => length === 0
      )
      await client.open(transport)
      t.equal(client.resumed, false)
    })

    t.test(
      `${name}, ${transport}: an epoch of another process is resumed: false, and so is a position of the future`,
      async (t) => {
        const nodes = await begin(t)
        await nodes.publish(1, 3)
        const { position } = await nodes.next.app.rooms.history(ROOM)
        for (const [where, resumed] of [
          [{ epoch: 'AAAAAAAA', offset: 2 }, false],
          [{ epoch: position.epoch, offset: 4_000 }, false],
          [{ epoch: position.epoch, offset: 1 }, true]
        ] as const) {
          const client = new Client(nodes, 'ada')
          client.place = { position: where, cursor: '', id: 'A'.repeat(22) }
          await client.open(transport)
          t.equal(client.resumed, resumed)
          if (!resumed) t.same(client.place.position, position)
        }
      }
    )

    t.test(`${name}, ${transport}: last gives the newest n, and counts only where since is not honoured`, async (t) => {
      const nodes = await begin(t, { size: 10 })
      await nodes.publish(1, 30)
      const token = nodes.token('ada')
      const asked = async (query: Record<string, string>, expected: number[]): Promise<void> => {
        const peer = await connect(nodes.next, { transport, rooms: [ROOM], token, query })
        const offsets = (): number[] => peer.queue.all.filter(({ type }) => type === 'e').map(({ offset }) => offset!)
        if (!isAtOnce) await eventually('the replay', () => offsets().length, (length) => length >= expected.length)
        await peer.sync()
        t.same(offsets(), expected, JSON.stringify(query))
        await peer.close()
      }
      const { epoch } = (await nodes.next.app.rooms.history(ROOM)).position
      await asked({ last: '3' }, [28, 29, 30])
      await asked({ last: '0' }, [])
      await asked({ last: '5000' }, upTo(30).slice(-10))
      await asked({ last: '3', at: `0:${epoch}:25` }, [26, 27, 28, 29, 30])
      await asked({ last: '3', at: `0:${epoch}:2` }, [28, 29, 30])
      await t.rejects(connect(nodes.next, { transport, rooms: [ROOM], token, query: { last: 'x' } }), {
        code: 'invalid_message'
      })
      await t.rejects(connect(nodes.next, { transport, rooms: [ROOM], token, query: { at: '0:x:y' } }), {
        code: 'invalid_message'
      })
    })

    t.test(`${name}, ${transport}: a user who may no longer enter does not resume`, async (t) => {
      let isBlocked = false
      const nodes = await begin(t, {}, { declare: (app) => { app.room(stream, { authorize: () => !isBlocked }) } })
      const client = new Client(nodes, 'ada')
      await client.open(transport)
      client.cut()
      await nodes.publish(1, 2)
      isBlocked = true
      if (transport === 'websocket') {
        const peer = await connect(nodes.next, { token: nodes.token('ada') })
        peer.send({ type: 'join', room: ROOM, id: 'j', data: { since: client.place!.position } })
        t.match((await peer.next('error')).data, { code: 'forbidden' })
        await peer.fence()
      } else await t.rejects(client.open(transport), { code: 'forbidden' })
    })

    t.test(`${name}, ${transport}: cut at ${run.cuts} random points of a run of ${spaced(run.events)} events, each offset comes once and in order`, {
      timeout: 60_000
    }, async (t) => {
      const nodes = await begin(t, { size: run.events, ttl: 600_000 }, { history: { bytes: 2 ** 28 } })
      const client = new Client(nodes, 'ada')
      const publisher = new Publisher()
      await client.open(transport)
      const cuts = new Set(Array.from({ length: run.cuts }, () => 1 + Math.floor(Math.random() * (run.events - 10))))
      let resumes = 0
      for (let i = 1; i <= run.events; i++) {
        publisher.push(nodes.next, i)
        if (publisher.isFull) {
          await publisher.settled()
          await turn()
        }
        if (!cuts.has(i)) continue
        client.cut()
        await client.open(transport)
        t.equal(client.resumed, true)
        resumes++
      }
      await publisher.settled()
      await client.has(run.events, 20_000)
      const { offsets, numbers } = publisher.inOrder
      t.same(client.offsets, offsets)
      t.same(client.got, numbers)
      // Of two nodes that publish at once either may be first.
      if (nodes.all.length === 1) t.same(client.got, upTo(run.events))
      t.equal(resumes, cuts.size)
      t.equal(client.gaps, 0)
      await nodes.assertLedgers(t)
    })

    t.test(`${name}, ${transport}: cut after every event of a run, each offset comes once and in order`, async (t) => {
      const nodes = await begin(t)
      const client = new Client(nodes, 'ada')
      await client.open(transport)
      for (let i = 1; i <= 60; i++) {
        await nodes.publish(i, i)
        client.cut()
        await client.open(transport)
      }
      await client.has(60)
      t.same(client.got, upTo(60))
      await nodes.assertLedgers(t)
    })
  }

  t.test(
    `${name}: a client that changes its transport at each of 60 cuts gets each offset once and in order`,
    async (t) => {
      const nodes = await Nodes.start(t, ground, {
        declare: declare({ size: 1_000 }),
        limits: { user: { connections: 1_000, then: 'reject' } }
      })
      const client = new Client(nodes, 'ada')
      await client.open('websocket')
      for (let i = 0; i < 60; i++) {
        await nodes.publish(i * 10 + 1, i * 10 + 10)
        client.cut()
        await client.open(TRANSPORTS[i % 3]!)
        t.equal(client.resumed, true)
      }
      await client.has(600)
      t.same(client.got, upTo(600))
    }
  )

  for (const transport of ['sse', 'polling'] as const) {
    t.test(`${name}, ${transport}: the cursor resumes all rooms of the stream, built-in ones included`, async (t) => {
      const nodes = await Nodes.start(t, ground, { declare: (app) => { app.room(inbox); declareChat(app) } })
      const token = nodes.token('ada')
      const first = await connect(nodes.next, { transport, rooms: ['chat/1', 'chat/2'], token })
      await nodes.next.app.rooms.broadcast('chat/2', 'said', { text: 'a', by: 'x' })
      await first.next('said')
      const { cursor } = first
      first.cut()
      await nodes.next.app.rooms.broadcast('chat/1', 'said', { text: 'b', by: 'x' })
      await nodes.next.app.rooms.sendToUser('ada', 'shipped', { order: '1' })
      const again = await connect(nodes.next, {
        transport,
        rooms: ['chat/1', 'chat/2'],
        token,
        query: { since: cursor }
      })
      t.match((await again.next('said')).data, { text: 'b' })
      t.match((await again.next('shipped')).data, { order: '1' })
      await again.fence()
      if (transport === 'sse') {
        const header = await connect(nodes.next, {
          transport,
          rooms: ['chat/1', 'chat/2'],
          token,
          headers: { 'last-event-id': cursor }
        })
        t.match((await header.next('said')).data, { text: 'b' })
      }
      for (const [what, since] of [
        ['of another room list', cursor],
        ['malformed', '!!'],
        ['truncated', cursor.slice(0, -9)],
        ['made up', Buffer.from('1.x.y.z').toString('base64url')]
      ] as const) {
        await t.rejects(
          connect(nodes.next, {
            transport,
            rooms: what === 'of another room list' ? ['chat/1'] : ['chat/1', 'chat/2'],
            token,
            query: { since }
          }),
          { statusCode: 400, code: 'invalid_message' },
          what
        )
      }
    })
  }

  t.test(`${name}: a direct message survives a reconnect: the built-in room is resumed by a join`, async (t) => {
    const nodes = await Nodes.start(t, ground, { declare: (app) => { app.room(inbox); declareChat(app) } })
    const ada = await connect(nodes.next, { token: nodes.token('ada') })
    const position = (ada.welcome.data as { rooms: Record<string, object> }).rooms['@user/ada']
    ada.cut()
    await eventually(
      'ada gone',
      async () => await nodes.sum(async ({ app }) => (await statsOf(app)).users),
      (users) => users === 0
    )
    await nodes.next.app.rooms.sendToUser('ada', 'shipped', { order: '1' })
    const again = await connect(nodes.next, { token: nodes.token('ada') })
    again.send({ type: 'join', room: '@user/ada', id: 'j', data: { since: position } })
    t.match(await again.next('ack'), { data: { resumed: true, offset: 0 } })
    t.match(await again.next('shipped'), { data: { order: '1' }, offset: 1 })
  })

  t.test(`${name}: what left a connection out leaves out the one that resumes it`, async (t) => {
    const nodes = await Nodes.start(t, ground, {})
    const ada = await connect(nodes.next, { rooms: ['chat/1'], token: nodes.token('ada') })
    const { id, welcome } = ada
    const position = (welcome.data as { rooms: Record<string, object> }).rooms['chat/1']
    await nodes.next.app.rooms.broadcast('chat/1', 'said', { text: 'not ada', by: 'ada' }, { except: id })
    await nodes.next.app.rooms.broadcast('chat/1', 'said', { text: 'all', by: 'x' })
    ada.cut()
    const again = await connect(nodes.next, { token: nodes.token('ada') })
    again.send({ type: 'join', room: 'chat/1', id: 'j', data: { since: position, connection: id } })
    await again.next('ack')
    t.match((await again.next('said')).data, { text: 'all' })
    await again.fence()
  })

  t.test(`${name}: what left a connection out leaves out the sixteenth one after it, which has read nothing in between`, async (t) => {
    const nodes = await Nodes.start(t, ground, {})
    const token = nodes.token('ada')
    for (const transport of TRANSPORTS) {
      const room = `chat/${transport}`
      const first = await connect(nodes.next, { transport, rooms: [room], token })
      const { epoch, offset } = (first.welcome.data as {
        rooms: Record<string, {
          epoch: string
          offset: number
        }>
      }).rooms[room]!
      await nodes.next.app.rooms.broadcast(room, 'said', { text: 'not ada', by: 'ada' }, { except: first.id })
      await nodes.next.app.rooms.broadcast(room, 'said', { text: 'all', by: 'x' })
      first.cut()
      // It breaks before it is in a room.
      const second = await connect(nodes.next, { token })
      second.cut()
      const others = Array.from({ length: 14 }, (_, index) => String(index).padStart(22, 'a'))
      const connection = [second.id, ...others, first.id].join()
      const isSocket = transport === 'websocket'
      const third = await connect(nodes.next, {
        transport,
        token,
        ...(isSocket ? {} : { rooms: [room], query: { at: `0:${epoch}:${offset}`, connection } })
      })
      if (isSocket) third.send({ type: 'join', room, id: 'j', data: { since: { epoch, offset }, connection } })
      t.match((await third.next('said')).data, { text: 'all' }, transport)
      third.cut()
    }
  })

  t.test(
    `${name}: latest: the current value of each key at join and resume, conflated while a reader lags; volatile: dropped`,
    async (t) => {
      const nodes = await Nodes.start(t, ground, { limits: { rate: { messages: 1_000, burst: 1_000 } } })
      const token = nodes.token('ada')
      for (const [team, points] of [['a', 1], ['b', 1], ['a', 2]] as const) {
        await nodes.next.app.rooms.broadcast('chat/1', 'score', { team, points })
      }
      const expected = [{ team: 'a', points: 2 }, { team: 'b', points: 1 }]
      for (const transport of TRANSPORTS) {
        const peer = await connect(nodes.next, { transport, rooms: ['chat/1'], token })
        await peer.sync()
        t.same(
          peer.queue.all.filter(({ type }) => type === 'score')
            .map(({ data }) => data as { team: string })
            .sort((x, y) => x.team < y.team ? -1 : 1),
          expected,
          transport
        )
        await peer.close()
      }
      const first = await poll(nodes.next, { rooms: ['chat/1'], token })
      const idle = await poll(nodes.next, { rooms: ['chat/1'], token, query: { since: first.cursor, wait: '30' } })
      t.same(idle.frames, [], 'a next poll is not sent what it has')
      await nodes.next.app.rooms.broadcast('chat/1', 'score', { team: 'b', points: 9 })
      matchList(
        t,
        (await poll(nodes.next, { rooms: ['chat/1'], token, query: { since: idle.cursor, wait: '30' } })).frames,
        [{ type: 'score', data: { team: 'b', points: 9 } }]
      )
      await nodes.assertLedgers(t)
    }
  )

  t.test(
    `${name}: an acknowledged broadcast says who answered, who left, who is missing, and leaves nothing behind`,
    async (t) => {
      const nodes = await Nodes.start(t, ground, {})
      const at = (index: number): Running => nodes.all[index % nodes.all.length]!
      const peers = await Promise.all([
        'ada',
        'bob',
        'cyd',
        'dan'
      ].map(async (user, index) => await connect(at(index), { rooms: ['chat/1'], token: nodes.token(user) })))
      const server = at(0)
      const [ada, bob, cyd] = peers as [NetPeer, NetPeer, NetPeer, NetPeer]
      const asked = server.app.rooms.broadcastWithAck('chat/1', 'said', { text: 'here?', by: 'x' }, {
        timeout: patience
      })
      const event = await ada.next('said')
      const ack = (event as unknown as { ack: string }).ack
      t.equal(event.offset, undefined)
      ada.send({ type: 'ack', id: ack })
      ada.send({ type: 'ack', id: ack })
      await bob.next('said')
      await fetch(`${at(1).url}/ws`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${nodes.token('bob')}`,
          'content-type': 'application/json',
          'x-connection-id': bob.id
        },
        body: JSON.stringify({ type: 'ack', id: ack })
      })
      await fetch(`${at(3).url}/ws`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${nodes.token('eve')}`,
          'content-type': 'application/json',
          'x-connection-id': peers[3]!.id
        },
        body: JSON.stringify({ type: 'ack', id: ack })
      })
      cyd.cut()
      const result = await asked
      t.same({ acked: result.acked.sort(), missing: result.missing, left: result.left, unknown: result.unknown }, {
        acked: ['ada', 'bob'],
        missing: ['dan'],
        left: ['cyd'],
        unknown: 0
      })
      for (let i = 0; i < 50; i++) ada.send({ type: 'ack', id: `made-up-${i}` })
      await ada.fence()
      const unheard = await server.app.rooms.broadcastWithAck(
        'chat/nobody',
        'said',
        { text: 'x', by: 'x' },
        isCounted ? {} : { timeout: patience }
      )
      t.same(unheard, { acked: [], missing: [], left: [], unknown: 0 })
    }
  )
}
