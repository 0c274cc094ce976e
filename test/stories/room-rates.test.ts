import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { defineRoom } from '../../lib/index.js'
import { matchList } from '../helpers/match-list.js'
import { connect, postFrame, start, TRANSPORTS, type Running } from '../helpers/net.js'

/** Next to nothing comes back while a test runs. */
const RATE = { messages: 0.001, burst: 2 }
const desk = defineRoom('desk/:id', { messages: { say: Type.Object({}) } })

interface Counting extends Running {
  /** The messages that were handled. */
  readonly handled: () => number
}

async function counting (t: Test, rate = RATE): Promise<Counting> {
  let handled = 0
  const server = await start(t, {
    declare: (app) => { app.room(desk, { limits: { rate }, on: { say: () => { handled++ } } }) }
  })
  return Object.assign(server, { handled: () => handled })
}

t.test('who leaves a room and joins it again has no more of the rate of the room', async (t) => {
  const server = await counting(t)
  const ada = await connect(server, { rooms: ['desk/1'], token: server.token('ada') })
  for (let each = 0; each < 4; each++) {
    ada.send({ type: 'say', room: 'desk/1', data: {} })
    ada.send({ type: 'leave', room: 'desk/1', id: `l${each}` })
    await ada.next('ack', ({ id }) => id === `l${each}`)
    ada.send({ type: 'join', room: 'desk/1', id: `j${each}` })
    await ada.next('ack', ({ id }) => id === `j${each}`)
  }
  t.equal(server.handled(), RATE.burst)
})

for (const transport of TRANSPORTS.filter((each) => each !== 'websocket')) {
  t.test(`over ${transport} what a connection says by POST spends the rate of the room`, async (t) => {
    const server = await counting(t)
    const ada = await connect(server, { transport, rooms: ['desk/1'], token: server.token('ada') })
    const answers: unknown[] = []
    for (let each = 0; each < 4; each++) {
      const { status, code } = await postFrame(server, server.token('ada'), ada.id, { type: 'say', room: 'desk/1', data: {} })
      answers.push([status, code])
    }
    matchList(t, answers.slice(2), [[429, 'rate_limited'], [429, 'rate_limited']])
    t.equal(server.handled(), RATE.burst)
  })
}

t.test('who posts without a connection spends the rate of the room as a user', async (t) => {
  const server = await counting(t)
  for (const user of ['ada', 'ada', 'ada', 'bob']) {
    await postFrame(server, server.token(user), undefined, { type: 'say', room: 'desk/1', data: {} })
  }
  t.equal(server.handled(), RATE.burst + 1)
})

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} the rate of a room is told before it refuses somebody`, async (t) => {
    const server = await counting(t, { ...RATE, burst: 10 })
    const ada = await connect(server, { transport, rooms: ['desk/1'], token: server.token('ada') })
    for (let each = 0; each < 8; each++) {
      ada.send({ type: 'say', room: 'desk/1', id: `${each}`, data: {} })
      await ada.next('ack', ({ id }) => id === `${each}`)
    }
    const told = server.lines.filter((line) => line.includes('"limit":"limits.rate of the room"'))
    t.equal(told.length, 1)
    t.match(JSON.parse(told[0] ?? '{}'), { userId: 'ada', room: 'desk/1', connectionId: ada.id })
    t.equal(server.handled(), 8)
  })
}
