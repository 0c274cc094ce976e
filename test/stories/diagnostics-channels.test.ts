import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { defineRoom } from '../../lib/index.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { documentOf, rowsOf } from '../helpers/documents.js'
import { matchList } from '../helpers/match-list.js'
import { connect, start } from '../helpers/net.js'
import { until } from '../helpers/raw.js'

const CHANNELS = documentOf('docs/operate/tracing.md').split('\n## Channels\n')[1]!
const ROWS = rowsOf(CHANNELS).map(([channel, given]) => [channel!.replaceAll('`', ''), given!] as const)
const STEPS = [.../tracing channels with ([^.]+)\./.exec(CHANNELS)![1]!.matchAll(/`(\w+)`/g)].map(([, step]) => step!)
/** Every channel of the page; those of tracing one by one. */
const NAMES = ROWS.flatMap(([name]) => name.endsWith(':*') ? STEPS.map((step) => name.replace('*', step)) : [name])

/** The fields that the page promises for a channel from its start on. */
function promised (channel: string): string[] {
  const given = ROWS.find(([name]) => name === channel)![1]
  return [...given.split(': ')[1]!.split('; at the end')[0]!.matchAll(/`(\w+)`/g)].map(([, field]) => field!)
}

interface Told {
  readonly channel: string
  readonly message: Record<string, unknown>
  /** What the message was at that moment. */
  readonly then: Record<string, unknown>
}

const room = defineRoom('work/:id', {
  messages: { succeed: Type.Object({}), fail: Type.Object({}) },
  events: { done: Type.Object({ by: Type.String() }) }
})

t.test('each channel of the page is told what the page says, from the opening of a connection to its close', async (t) => {
  const told: Told[] = []
  for (const channel of NAMES) {
    const listener = (message: unknown): void => {
      const fields = message as Record<string, unknown>
      told.push({ channel, message: fields, then: { ...fields } })
      if (channel === 'tracing:fastify-realtime:message:start') {
        fields.within = (task: () => unknown) => {
          within.push(String(fields.message))
          return task()
        }
      }
    }
    subscribe(channel, listener)
    t.teardown(() => { unsubscribe(channel, listener) })
  }
  const within: string[] = []
  const adapter = memory()
  const publish = adapter.publish.bind(adapter)
  const down = new Error('the broker is down')
  let answer: (published: ReturnType<typeof publish>) => ReturnType<typeof publish> = (published) => published
  adapter.publish = (...given) => answer(publish(...given))
  const server = await start(t, {
    adapter,
    declare: (app) => {
      app.room(room, {
        on: {
          async succeed ({ userId, room }) { await room.broadcast('done', { by: userId }) },
          async fail () { throw Object.assign(new Error('no'), { statusCode: 422, code: 'no_work' }) }
        }
      })
    }
  })
  const peer = await connect(server, { token: server.token('ada'), rooms: ['work/1'] })
  peer.send({ type: 'succeed', room: 'work/1', id: 'a', data: {} })
  await peer.next('ack')
  await peer.next('done')
  peer.send({ type: 'fail', room: 'work/1', id: 'b', data: {} })
  await peer.next('error')
  const broadcast = async (): Promise<unknown> => await server.app.rooms.broadcast(room.at({ id: '1' }), 'done', { by: 'bob' })
  answer = async (published) => await published
  await broadcast()
  answer = () => { throw down }
  await t.rejects(broadcast())
  answer = async () => { throw down }
  await t.rejects(broadcast())
  await server.app.rooms.close({ user: 'ada' })
  await peer.ended

  const of = (channel: string): Told[] => told.filter((each) => each.channel === channel)
  await until('the close is told', () => of('fastify-realtime:connection.close').length === 1)
  const steps = (kind: string): string[] => told.map(({ channel }) => channel.split(':'))
    .filter(([prefix, , of]) => prefix === 'tracing' && of === kind).map((parts) => parts.at(-1)!)
  const common = { connectionId: peer.id, userId: 'ada', transport: 'websocket' }

  const [opened] = of('fastify-realtime:connection.open')
  t.same(opened!.then, { ...common, address: '127.0.0.1' })
  const [closed] = of('fastify-realtime:connection.close')
  t.match(closed!.then, { ...common, reason: 'unavailable', duration: Number, bytes: { in: Number, out: Number }, lag: Number })
  t.same(Object.keys(opened!.then).sort(), promised('fastify-realtime:connection.open').sort())
  t.same(Object.keys(closed!.then).sort(), [
    ...Object.keys(common), ...promised('fastify-realtime:connection.close')
  ].sort())

  const place = { room: 'work/1', definition: 'work/:id' }
  t.same(steps('message'), ['start', 'end', 'asyncStart', 'asyncEnd', 'start', 'end', 'asyncStart', 'asyncEnd'])
  t.same(within, ['succeed', 'fail'], 'each message ran in the context that its subscriber gave')
  for (const [index, message, id, code] of [[0, 'succeed', 'a', undefined], [1, 'fail', 'b', 'no_work']] as const) {
    const [begun, ended] = ['start', 'asyncEnd'].map((step) => of(`tracing:fastify-realtime:message:${step}`)[index]!)
    t.match(begun!.then, {
      ...place, message, messageId: id, userId: 'ada', connectionId: peer.id, bytes: Number, isRequest: false
    })
    t.same(promised('tracing:fastify-realtime:message:*').filter((field) => !(field in begun!.then)), [])
    t.equal(begun!.then.code, undefined)
    t.equal(begun!.message, ended!.message, 'the same object from its start to its end')
    t.equal(ended!.then.code, code)
    t.equal(ended!.then.error, undefined, 'a message that was refused has a code, and no error')
  }

  const atOnce = ['start', 'end']
  const later = ['start', 'end', 'asyncStart', 'asyncEnd']
  const failedLater = ['start', 'end', 'error', 'asyncStart', 'asyncEnd']
  t.same(steps('broadcast'), [...atOnce, ...later, 'start', 'error', 'end', ...failedLater])
  const ends = told.filter(({ channel, then }) => /:broadcast:(?:end|asyncEnd)$/.test(channel) && ('result' in then || 'error' in then))
  const offered = { recipients: 1 }
  matchList(t, ends.map(({ then: { result, error } }) => result ?? error), [offered, offered, down, down])
  t.same(of('tracing:fastify-realtime:broadcast:error').map(({ then }) => then.error), [down, down])
  for (const { then } of of('tracing:fastify-realtime:broadcast:start')) {
    t.match(then, { ...place, event: 'done', delivery: 'reliable' })
    t.same(promised('tracing:fastify-realtime:broadcast:*').filter((field) => !(field in then)), [])
  }
  for (const { then } of of('tracing:fastify-realtime:deliver:start')) {
    t.match(then, { ...place, event: 'done' })
    t.same(promised('tracing:fastify-realtime:deliver:*').filter((field) => !(field in then)), [])
  }
  t.equal(of('tracing:fastify-realtime:deliver:end')[0]!.then.result, 1)
})

/** What a subscriber's function may do wrong with the task that it is given. */
const FAULTY: Readonly<Record<string, (task: () => unknown) => unknown>> = {
  'throws before its task': () => { throw new Error('no context') },
  'throws behind its task': (task) => {
    task()
    throw new Error('no context')
  },
  'does not call its task': () => undefined,
  'calls its task twice': (task) => {
    task()
    return task()
  },
  'returns nothing': (task) => { task() },
  'returns another promise': async (task) => await task()
}

for (const [what, within] of Object.entries(FAULTY)) {
  t.test(`a step of which a subscriber's \`within\` ${what} happens once, and with its own outcome`, async (t) => {
    const kinds = ['message', 'broadcast', 'deliver']
    const listener = (message: unknown): void => { Object.assign(message as object, { within }) }
    for (const kind of kinds) subscribe(`tracing:fastify-realtime:${kind}:start`, listener)
    t.teardown(() => { for (const kind of kinds) unsubscribe(`tracing:fastify-realtime:${kind}:start`, listener) })
    const adapter = memory()
    const publish = adapter.publish.bind(adapter)
    const down = new Error('the broker is down')
    let isDown = false
    adapter.publish = async (...given) => {
      if (isDown) throw down
      return await publish(...given)
    }
    const server = await start(t, {
      adapter,
      declare: (app) => {
        app.room(room, {
          on: { async succeed ({ userId, room }) { await room.broadcast('done', { by: userId }) }, fail () {} }
        })
      }
    })
    const peer = await connect(server, { token: server.token('ada'), rooms: ['work/1'] })
    const broadcast = async (by: string): Promise<unknown> =>
      await server.app.rooms.broadcast(room.at({ id: '1' }), 'done', { by })
    t.match(await broadcast('bob'), { recipients: 1 })
    t.match(await peer.next('done'), { data: { by: 'bob' } })
    peer.send({ type: 'succeed', room: 'work/1', id: 'a', data: {} })
    t.match(await peer.next('done'), { data: { by: 'ada' } })
    t.match(await peer.next('ack'), { id: 'a' })
    isDown = true
    await t.rejects(broadcast('bob'), down)
  })
}
