import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import type { AdapterHost, ControlMessage } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { checkControl } from '../../lib/adapters/broker/decode.js'
import { connect as connectClient, type Client } from '../../lib/client/index.js'
import { Roster } from '../../lib/dispatch/roster.js'
import { defineRoom } from '../../lib/index.js'
import { BROKERS, CLUSTER } from '../helpers/brokers.js'
import { hostOf } from '../helpers/host-of.js'
import { connect, postFrame, start, TRANSPORTS, type NetPeer, type Running } from '../helpers/net.js'
import { missing, until } from '../helpers/servers.js'

const Answer = Type.Object({ accepted: Type.Boolean() }, { additionalProperties: false })
const inbox = defineRoom('@user/:id', {
  events: { confirm: { data: Type.Object({ order: Type.String() }), reply: Answer }, told: Type.Object({}) }
})
const game = defineRoom('game/:id', {
  events: { choose: { data: Type.Object({ cards: Type.Array(Type.String()) }), reply: Type.String(), delivery: 'volatile' } }
})
const declare = (app: Running['app']): void => {
  app.room(inbox)
  app.room(game)
}

/** Starts nodes of one cluster, one after the other; with memory it is the same one again. */
type More = () => Promise<Running>

const ADAPTERS: ReadonlyArray<{ name: string, skip: string | false, open: (t: Test) => Promise<More> }> = [
  {
    name: 'memory',
    skip: false,
    open: async (t) => {
      const only = await start(t, { declare, adapter: memory() })
      return async () => only
    }
  },
  ...[...BROKERS, CLUSTER].map(({ name, program, start: run, make }) => ({
    name,
    skip: missing(program),
    open: async (t: Test) => {
      const { port } = await run(t)
      return async () => await start(t, { declare, adapter: make(port) })
    }
  }))
]

/** Sends a text as an answer over a WebSocket, or posts it. @returns the status of what was posted */
async function give (peer: NetPeer, server: Running, user: string, text: string): Promise<number | undefined> {
  if (peer.transport === 'websocket') {
    peer.send(text as never)
    return undefined
  }
  return (await postFrame(server, server.token(user), peer.id, text)).status
}

/** Sends what is meant to be an answer and is none. */
async function send (peer: NetPeer, server: Running, user: string, text: string): Promise<void> {
  const status = await give(peer, server, user, text)
  if (status !== undefined && status !== 400) throw new Error(`answered with ${status}`)
}

/** Answers each question that comes. */
function answering (peer: NetPeer, server: Running, user: string, answer: object): void {
  const asked = async (): Promise<void> => {
    const { ack } = await peer.next('confirm') as unknown as { ack: string }
    await give(peer, server, user, JSON.stringify({ type: 'ack', id: ack, ...answer }))
  }
  asked().catch(() => undefined)
}

for (const { name, skip, open } of ADAPTERS) {
  t.test(`on ${name}: a node that has just started finds the clients of others`, { skip }, async (t) => {
    const more = await open(t)
    const first = await more()
    const peer = await connect(first, { token: first.token('ada') })
    for (let node = 0; node < 3; node++) {
      const { app } = await more()
      for (const target of [{ user: 'ada' }, { connection: peer.id }]) {
        answering(peer, first, 'ada', { data: { accepted: true } })
        t.same(await app.rooms.request(target as { user: string }, 'confirm', { order: '7' }), { accepted: true })
      }
    }
  })

  t.test(`on ${name}: a client on any node and transport is asked, and its answer is checked`, { skip }, async (t) => {
    const more = await open(t)
    const [a, b] = [await more(), await more()]
    const { rooms } = a.app
    const ask = async (user: string, timeout = 8_000): Promise<unknown> =>
      await rooms.request({ user, room: inbox.at({ id: user }) }, 'confirm', { order: '7' }, { timeout })
    for (const transport of TRANSPORTS) {
      const peer = await connect(b, { transport, token: b.token(transport) })
      // The answer of a stream or a poll may come to any node.
      answering(peer, a, transport, { data: { accepted: true } })
      t.same(await ask(transport), { accepted: true }, transport)
      answering(peer, b, transport, { data: { accepted: 'yes' } })
      await t.rejects(ask(transport), { code: 'invalid_message', message: /does not fit/ })
      answering(peer, b, transport, {})
      await t.rejects(ask(transport), { code: 'invalid_message', message: /earlier version/ })
      answering(peer, b, transport, { error: { code: 'busy', message: 'not now' } })
      await t.rejects(ask(transport), { code: 'busy', message: 'not now' })
      for (const [what, text] of [
        ['no JSON', () => '{"type":"ack","data":'],
        ['no object', () => '"yes"'],
        ['nothing', () => ''],
        ['an id that is none', () => '{"type":"ack","id":7,"data":{"accepted":true}}'],
        ['an error that is none', (id: string) => JSON.stringify({ type: 'ack', id, error: 'busy' })]
      ] as const) {
        const asked = ask(transport)
        asked.catch(() => undefined)
        const { ack } = await peer.next('confirm') as unknown as { ack: string }
        if (text('') === '' && transport === 'websocket') peer.send('x' as never)
        else await send(peer, what === 'no object' ? b : a, transport, text(ack))
        await t.rejects(asked, { code: 'invalid_message' }, `${what} over ${transport}`)
      }
      // What is no answer leaves the question alone.
      const going = rooms.request({ connection: peer.id }, 'confirm', { order: '9' })
      const { ack } = await peer.next('confirm') as unknown as { ack: string }
      await send(peer, a, transport, '{"type":"confirm"}')
      await send(peer, a, transport, '{"type":"ack","id":"another","error":5}')
      const acks = (await rooms.broadcastWithAck(inbox.at({ id: transport }), 'told', {}, { timeout: 100 })).missing
      t.same(acks, [transport])
      await give(peer, b, transport, JSON.stringify({ type: 'ack', id: ack, data: { accepted: true } }))
      t.same(await going, { accepted: true })
      answering(peer, b, transport, { data: { accepted: false } })
      t.same(await rooms.request({ connection: peer.id }, 'confirm', { order: '8' }), { accepted: false })
      await t.rejects(ask(transport, 100), { code: 'timeout' })
      peer.cut()
    }
    const [first, second] = [await connect(a, { token: a.token('ada') }), await connect(b, { token: b.token('ada') })]
    answering(first, a, 'ada', { error: { code: 'busy', message: 'not now' } })
    answering(second, b, 'ada', { data: { accepted: true } })
    t.same(await ask('ada'), { accepted: true }, 'of several the first that fits counts')
    await t.rejects(ask('nobody'), { code: 'not_joined' })
    await t.rejects(rooms.request({ connection: 'nobody' }, 'confirm', { order: '1' }), { code: 'not_joined' })
    await t.rejects(rooms.request({ user: 'ada', room: game.at({ id: '1' }) }, 'choose', { cards: [] }), { code: 'not_joined' })
    const asked = ask('ada')
    asked.catch(() => undefined)
    for (const peer of [first, second]) {
      await peer.next('confirm')
      peer.cut()
    }
    await t.rejects(asked, { code: 'not_joined' }, 'those who were asked have gone')
  })
}

/** A node that is told what other nodes say, and what they answer to the questions that it asks. */
async function asker (
  t: Test,
  heard: (question: Extract<ControlMessage, { type: 'request' }>, say: (message: ControlMessage, from: string) => void) => void
): Promise<{ ask: (timeout?: number) => Promise<unknown>, say: AdapterHost['control'] }> {
  const adapter = memory()
  const host = hostOf(adapter)
  const say: AdapterHost['control'] = (message, from) => { host().control(message, from) }
  const { app } = await start(t, {
    declare,
    adapter: Object.assign(adapter, {
      control: { send: async (message: ControlMessage) => { if (message.type === 'request') heard(message, say) } }
    })
  })
  const ask = async (timeout = 60_000): Promise<unknown> =>
    await app.rooms.request({ user: 'ada' }, 'confirm', { order: '7' }, { timeout })
  return { ask, say }
}

t.test('a node that has just come, and has nobody, does not answer for the one on which the client is', async (t) => {
  const { ask, say } = await asker(t, ({ ack }, say) => {
    say({ type: 'members', ack, members: [] }, 'starting')
    setImmediate(() => {
      say({ type: 'members', ack, members: [{ connection: 'c1', userId: 'ada' }] }, 'there')
      say({ type: 'acked', ack, connection: 'c1', data: { accepted: true } }, 'there')
    })
  })
  say({ type: 'node', state: 'here' }, 'there')
  t.same(await ask(), { accepted: true })
})

for (const [when, isLater] of [['while it is asked', false], ['once it was asked', true]] as const) {
  t.test(`a node that leaves ${when} is not waited for`, async (t) => {
    const { ask, say } = await asker(t, ({ ack }, say) => {
      say({ type: 'members', ack, members: [] }, 'there')
      const leave = (): void => { say({ type: 'node', state: 'leaving' }, 'leaving') }
      if (isLater) setImmediate(leave)
      else leave()
    })
    for (const node of ['there', 'leaving']) say({ type: 'node', state: 'here' }, node)
    await t.rejects(ask(), { code: 'not_joined' })
  })
}

t.test('who was asked on a node that has gone is not waited for, unless it is on another one by now', async (t) => {
  const { ask, say } = await asker(t, ({ ack }, say) => {
    const members = ['c1', 'c2'].map((connection) => ({ connection, userId: 'ada' }))
    say({ type: 'members', ack, members }, 'there')
    say({ type: 'members', ack, members: [] }, 'other')
    setImmediate(() => {
      say({ type: 'moved', user: 'ada', connection: 'c2' }, 'other')
      say({ type: 'node', state: 'leaving' }, 'there')
      setImmediate(() => {
        if (asked === 1) say({ type: 'acked', ack, connection: 'c2', data: { accepted: true } }, 'other')
        else say({ type: 'node', state: 'leaving' }, 'other')
      })
    })
  })
  let asked = 0
  for (const wanted of [{ accepted: true }, 'not_joined']) {
    asked++
    for (const node of ['there', 'other']) say({ type: 'node', state: 'here' }, node)
    t.same(await ask().catch(({ code }: { code: string }) => code), wanted)
  }
})

t.test('a node that says nothing for a minute is not waited for, however long the question may wait', async (t) => {
  const gone: string[] = []
  const { now } = performance
  t.teardown(() => { performance.now = now })
  const roster = new Roster({ send: async () => undefined }, (error) => { throw error }, (node) => { gone.push(node) })
  roster.heard('a', 'here')
  performance.now = () => now.call(performance) + 50_000
  roster.heard('b', 'here')
  performance.now = () => now.call(performance) + 61_000
  t.same([roster.others, gone], [['b'], ['a']])
  for (const node of ['b', 'b', 'unknown']) roster.heard(node, 'leaving')
  t.same([roster.others, gone], [[], ['a', 'b']])
})

t.test('the listener of a client answers by what it returns, and refuses by what it throws', async (t) => {
  const server = await start(t, { declare })
  const { rooms } = server.app
  for (const transport of TRANSPORTS) {
    const client: Client = connectClient(`${server.url}/ws`, { token: () => server.token('ada'), transports: [transport] })
    t.teardown(() => client.close())
    await until('it is open', () => client.state === 'open')
    await t.rejects(rooms.request({ user: 'ada' }, 'confirm', { order: '7' }), { code: 'refused' }, 'in a room that it has not joined')
    const room = client.join(game.at({ id: transport }))
    await room.joined
    const { connectionId } = client
    const target = { user: 'ada', room: game.at({ id: transport }) }
    const heard: string[] = []
    room.on('*', ({ type }) => { heard.push(type) })
    await t.rejects(rooms.request(target, 'choose', { cards: [] }), { code: 'refused' }, 'nobody listens')
    let answer: () => unknown = () => 'ace'
    room.on('choose', async ({ data }) => data.cards.length === 0 ? await Promise.resolve(answer()) : data.cards[0])
    t.equal(await rooms.request(target, 'choose', { cards: ['king'] }), 'king')
    t.equal(await rooms.request(target, 'choose', { cards: [] }), 'ace')
    answer = () => { throw Object.assign(new Error('no cards'), { code: 'no_cards' }) }
    await t.rejects(rooms.request(target, 'choose', { cards: [] }), { code: 'no_cards', message: 'no cards' })
    answer = () => { throw new TypeError('no code') }
    await t.rejects(rooms.request(target, 'choose', { cards: [] }), { code: 'refused', message: 'no code' })
    for (const none of [10n, Object.assign([], { toJSON () { throw new TypeError('no JSON') } })]) {
      answer = () => none
      await t.rejects(rooms.request(target, 'choose', { cards: [] }), { code: 'refused', message: /BigInt|no JSON/ }, 'no JSON')
    }
    for (const nothing of [null, undefined] as unknown as Error[]) {
      answer = async () => await Promise.reject(nothing)
      await t.rejects(rooms.request(target, 'choose', { cards: [] }), { code: 'refused' }, 'what says nothing')
    }
    const large = 'x'.repeat(70_000)
    for (const give of [() => large, () => { throw new Error(large) }]) {
      answer = give
      await t.rejects(rooms.request(target, 'choose', { cards: [] }), { code: 'message_too_large' }, 'more than the server takes')
    }
    t.equal(client.connectionId, connectionId, 'and the link lives')
    answer = () => undefined
    await t.rejects(rooms.request(target, 'choose', { cards: [] }), { code: 'invalid_message' })
    t.same(heard, [], 'what is asked is no event for those who hear everything')
    await client.close()
  }
})

t.test('a check of an answer that never settles ends with the question, and holds up no answer that fits', async (t) => {
  const reply = {
    '~standard': {
      version: 1 as const,
      vendor: 'test',
      validate: (value: unknown) => value === 'hang'
        ? new Promise<never>(() => {})
        : Promise.resolve(value === 'odd' ? { issues: [{ message: 'odd' }] } : { value })
    }
  }
  const asking = defineRoom('@user/:id', { events: { confirm: { data: Type.Object({}), reply } } })
  const server = await start(t, { declare: (app) => { app.room(asking) } })
  const [first, second] = [
    await connect(server, { token: server.token('ada') }), await connect(server, { token: server.token('ada') })
  ]
  const ask = (timeout: number): Promise<unknown> =>
    server.app.rooms.request({ user: 'ada', room: asking.at({ id: 'ada' }) }, 'confirm', {}, { timeout })
  const answers = async (...answers: string[]): Promise<void> => {
    for (const [index, peer] of [first, second].entries()) {
      const { ack } = await peer.next('confirm') as unknown as { ack: string }
      peer.send({ type: 'ack', id: ack, data: answers[index] } as never)
    }
  }
  const good = ask(60_000)
  await answers('hang', 'yes')
  t.equal(await good, 'yes')
  const hanging = t.rejects(ask(300), { code: 'timeout', message: /could not be checked in time/ })
  await answers('hang', 'hang')
  await hanging
  const refused = t.rejects(ask(300), { code: 'invalid_message' })
  await answers('odd', 'hang')
  await refused
})

t.test('questions that are none are refused where they are asked, declared, and on the bus', async (t) => {
  const { app: { rooms } } = await start(t, { declare })
  const bad: Array<[object, string, unknown, object, RegExp]> = [
    [{ user: 'ada' }, 'told', {}, {}, /EVENT/],
    [{ user: 'ada' }, 'confirm', { order: 5 }, {}, /EVENT/],
    [{ user: 'ada' }, 'unknown', {}, {}, /EVENT/],
    [{ room: 'game/1' }, 'choose', { cards: [] }, {}, /TARGET/],
    [{ user: 'ada', room: 5 }, 'choose', { cards: [] }, {}, /ROOM/],
    [{ user: 'ada', room: 'x/1' }, 'choose', { cards: [] }, {}, /ROOM_UNKNOWN/],
    [{ user: 'ada' }, 'confirm', { order: '1' }, { timeout: 'x' }, /OPTIONS/]
  ]
  for (const [target, event, data, options, code] of bad) {
    await t.rejects(rooms.request(target as never, event as never, data as never, options as never), { code })
  }
  const kept = defineRoom('kept/:id', {
    events: { set: { data: Type.Object({ id: Type.String() }), delivery: 'latest', key: 'id', reply: Answer } }
  })
  await t.rejects(start(t, { declare: (app) => { app.room(kept) } }), { code: 'REALTIME_ERR_ROOM', message: /has a reply/ })
  const request = { type: 'request', ack: 'a', user: 'ada', room: 'game/1', event: 'choose', data: '{}', timestamp: 5 }
  const acked = { type: 'acked', ack: 'a', connection: 'c', data: [1], error: { code: 'x', message: 'y' } }
  for (const good of [request, acked]) t.same(checkControl(good), good)
  const strange: object[] = [
    ...['ack', 'user', 'room', 'event', 'data', 'timestamp'].map((field) => ({ ...request, [field]: null })),
    { ...request, data: '{}\n{}' },
    { ...request, data: '{' },
    { ...request, event: 'welcome' },
    { ...acked, error: 5 },
    { ...acked, error: { code: 5 } }
  ]
  for (const each of strange) t.equal(checkControl(each), undefined, JSON.stringify(each))
})
