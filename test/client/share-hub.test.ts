import { setImmediate as tick, setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createContext, runInContext } from 'node:vm'
import { Type } from '@sinclair/typebox'
import { build } from 'esbuild'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { Client, ConnectOptions, NamedRoom } from '../../lib/client/index.js'
import { defineRoom, Refusal } from '../../lib/index.js'
import { builtGlobal } from '../../scripts/build-client.mjs'
import { behind, rejection, until } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { declareChat, start, statsOf, TRANSPORTS, type Running } from '../helpers/net.js'

const script = await builtGlobal()

type Held = () => Promise<unknown>

/**
 * The Web Locks of one browser: a lock is free when what holds it has settled. As in a browser, one that was asked for
 * later is had later, when what was done with the one before is done.
 */
function createLocks (): object {
  const last = new Map<string, Promise<unknown>>()
  return {
    request: (name: string, { signal }: { signal: AbortSignal }, held: Held) => {
      const turn = (last.get(name) ?? Promise.resolve()).then(async () => {
        // The names of tabs have a word more than the one that they share.
        if (name.endsWith(' ')) await new Promise((resolve) => { setTimeout(resolve, 20) })
        if (!signal.aborted) await held()
      })
      last.set(name, turn)
      return turn
    }
  }
}

const teams = ({ state }: NamedRoom): string => [...(state.get('score') as Map<string, unknown>).keys()].sort().join()

/** Timers of a tab, which can be made to wait. */
function heldTimers (): { setTimeout (callback: () => void, wait?: number): unknown, hold (): void, free (): void } {
  let waiting: Array<() => void> | undefined
  return {
    setTimeout: (callback, wait) => waiting?.push(callback) ?? setTimeout(callback, wait),
    hold: () => { waiting = [] },
    free: () => {
      const held = waiting ?? []
      waiting = undefined
      for (const callback of held) callback()
    }
  }
}

/** Tabs of one browser, each with a realm of its own. */
function browser (t: Test, { url, token }: Running): (options?: ConnectOptions, globals?: object) => Client {
  const locks = createLocks()
  return (options, globals) => {
    const context = createContext({
      AbortController,
      AbortSignal,
      BroadcastChannel,
      Response,
      TextDecoder,
      URL,
      WebSocket,
      clearTimeout,
      fetch,
      location: { href: `${url}/` },
      navigator: { locks },
      performance,
      setTimeout,
      ...globals
    })
    runInContext(script, context)
    const { connect } = runInContext('realtime', context) as { connect (url: string, options: ConnectOptions): Client }
    const client = connect('/ws', { token: () => token('ada'), timeout: 2_000, share: true, ...options })
    t.teardown(() => { client.close() })
    return client
  }
}

const hear = (room: NamedRoom): string[] => {
  const heard: string[] = []
  room.on('said', ({ data }) => { heard.push((data as { text: string }).text) })
  return heard
}

interface Entering { readonly params: { readonly id: string } }

/** @returns the errors of a tab so far, each with its room */
const refusals = (tab: Client): string[] => {
  const told: string[] = []
  tab.on('error', ({ code, room }) => { told.push(`${code} ${room}`) })
  return told
}

const totalOf = async ({ app }: Running): Promise<number> => (await statsOf(app)).connections.total

for (const transport of TRANSPORTS) {
  t.test(`over ${transport}: tabs share one connection, each with its own rooms, and the last one out leaves a room`, async (t) => {
    const app = await start(t, { presence: { grace: 1_000 } })
    const say = async (text: string): Promise<void> => {
      await app.app.rooms.broadcast('chat/1', 'said', { text, by: 'server' })
    }
    const open = browser(t, app)
    await say('a')
    const one = open({ transports: [transport] })
    const first = one.join('chat/1', { last: 1 })
    const heard = hear(first)
    await first.joined
    await until('the event before', () => heard.length === 1)
    await say('b')
    await until('the next event', () => heard.length === 2)

    const two = open({ transports: [transport] })
    const second = two.join('chat/1', { last: 2 })
    const late = hear(second)
    await second.joined
    await until('both events', () => late.length === 2)
    t.match(await second.send('say', { text: 'c' }), { id: /\w/ })
    await until('its own message in both', () => heard.length === 3 && late.length === 3)
    t.same([heard, late], [['a', 'b', 'c'], ['a', 'b', 'c']])
    // Of polls the connection before the present one is kept until the grace is over.
    if (transport !== 'polling') t.equal(await totalOf(app), 1)
    t.equal(two.transport, transport)
    t.same([one.userId, two.userId], ['ada', 'ada'])
    t.match(await rejection(two.join('nothing/1').joined), { code: 'room_unknown' })

    await first.leave()
    await say('d')
    await until('the other tab hears', () => late.length === 4)
    t.equal(heard.length, 3)
    await second.leave()
    await until('the room is left', async () => (await statsOf(app.app)).rooms.active === 0)

    const third = two.join('chat/1')
    const moved = hear(third)
    await third.joined
    one.close()
    await until('the link has moved', async () => {
      await say('e')
      return moved.length > 0
    })
    t.match(await third.send('say', { text: 'f' }), { id: /\w/ })
    await until('its own message', () => moved.includes('f'))
    two.close()
    await until('nobody is connected', async () => await totalOf(app) === 0)
    t.same(app.loud, [])
  })
}

t.test('a tab that spoke before there was anybody to hear it is in its room at once', async (t) => {
  const app = await start(t)
  const { joined } = browser(t, app)().join('chat/1')
  const late = new Promise((_resolve, reject) => { setTimeout(reject, 5_000, new Error('not in the room')).unref() })
  await t.resolves(Promise.race([joined, late]))
})

t.test('tabs that share a link join and send inside the listener that is told it is open, at the first link and later ones', async (t) => {
  const app = await start(t)
  const open = browser(t, app)
  for (const name of ['first', 'second']) {
    const tab = open()
    for (const turn of ['now', 'again']) {
      const told = new Promise<unknown>((resolve) => {
        const off = tab.on('state', ({ state }) => {
          if (state !== 'open') return
          off()
          resolve((async () => await tab.join(`chat/${name}-${turn}`).send('say', { text: turn }))())
        })
      })
      if (turn === 'again') tab.reconnect()
      await t.resolves(told, `${name} ${turn}`)
    }
  }
})

t.test('a link that is cut costs the tabs that share it no event and no message', async (t) => {
  const app = await start(t)
  const { proxy, url } = await behind(t, app)
  const open = browser(t, { ...app, url })
  const tabs = [open(), open()]
  const rooms = tabs.map((tab) => tab.join('chat/1'))
  const heard = rooms.map(hear)
  await Promise.all(rooms.map(async ({ joined }) => await joined))
  const expected: string[] = []
  const say = async (): Promise<void> => {
    expected.push(`${expected.length}`)
    await app.app.rooms.broadcast('chat/1', 'said', { text: expected.at(-1)!, by: 'server' })
  }
  for (let count = 0; count < 3; count++) {
    await say()
    proxy.cut()
    await say()
    const sent = await Promise.all(rooms.map(async (room) => await room.send('say', { text: 'mine' })))
    t.equal(sent.length, 2)
    await say()
    await until('all is heard', () => heard.every((each) => each.includes(expected.at(-1)!)))
  }
  for (const each of heard) {
    t.same(each.filter((text) => text !== 'mine'), expected)
    t.equal(each.length, expected.length + 6, 'each message once')
  }
})

const chooser = defineRoom('chooser/:id', {
  messages: { take: { data: Type.Object({ card: Type.String() }), reply: Type.Object({ card: Type.String() }) } },
  events: { choose: { data: Type.Object({}), reply: Type.String(), delivery: 'volatile' } }
})

t.test('a tab that shares a link sends what a tab with a link of its own sends, and says what it cannot answer', async (t) => {
  const app = await start(t, { declare: (app) => app.room(chooser, { on: { take: ({ data }) => data } }) })
  const open = browser(t, app)
  for (const transport of TRANSPORTS) {
    const tabs = [open({ transports: [transport] }), open({ transports: [transport] })]
    const [room, mute] = tabs.map((tab) => tab.join(`chooser/${transport}`)) as [NamedRoom, NamedRoom]
    await Promise.all([room.joined, mute.joined])
    const ace = { toJSON: () => 'ace' }
    t.same(await room.send('take', { card: ace, paint () {} }), { card: 'ace' })
    const asked = async (): Promise<unknown> =>
      await app.app.rooms.request({ user: 'ada', room: chooser.at({ id: transport }) }, 'choose', {})
    await t.rejects(asked(), { code: 'refused' }, 'no tab listens')
    // The other tab listens to nothing, and leaves the answer to this one.
    let answer: unknown = ace
    room.on('choose', () => answer)
    t.equal(await asked(), 'ace')
    answer = 10n
    await t.rejects(asked(), { code: 'refused', message: /BigInt/ })
    answer = 'x'.repeat(70_000)
    await t.rejects(asked(), { code: 'message_too_large' })
    t.same(tabs.map(({ state }) => state), ['open', 'open'])
    tabs.forEach((tab) => { tab.close() })
    await until('nobody is connected', async () => await totalOf(app) === 0)
  }
  t.same(app.loud, [])
})

const list = defineRoom('lists/:id', { messages: { add: Type.Object({ item: Type.Number() }) }, events: {} })

for (const transport of ['sse', 'polling'] as const) {
  t.test(`over ${transport}: what a tab that shares a link sends is in order, also where one message is refused for now`, async (t) => {
    const added: number[] = []
    let isRefused = false
    const app = await start(t, {
      declare: (app) => app.room(list, {
        on: {
          add ({ data: { item } }) {
            if (item === 2 && !isRefused) {
              isRefused = true
              throw new Refusal('unavailable', { retryAfter: 100 })
            }
            added.push(item)
          }
        }
      })
    })
    const open = browser(t, app)
    const [room, other] = [open, open].map((open) => open({ transports: [transport] }).join('lists/1'))
    await Promise.all([room!.joined, other!.joined])
    await Promise.all([1, 2, 3, 4].map(async (item) => await room!.send('add', { item })))
    t.same(added, [1, 2, 3, 4])
  })
}

const assistant = defineRoom('assistant/:id', {
  messages: { ask: Type.Object({}), stop: { data: Type.Object({}), concurrent: true } },
  events: {}
})

for (const transport of TRANSPORTS) {
  t.test(`over ${transport}: a stop of a tab that shares a link goes past a question of another tab that is under way`, async (t) => {
    let isAsked = false
    let isStopped = false
    const app = await start(t, {
      declare: (app) => app.room(assistant, {
        on: {
          async ask () {
            isAsked = true
            await until('the stop', () => isStopped)
          },
          stop () { isStopped = true }
        }
      })
    })
    const open = browser(t, app)
    const rooms = [open, open].map((open) => open({ transports: [transport] }).join('assistant/1'))
    await Promise.all(rooms.map(async ({ joined }) => await joined))
    const answer = rooms[0]!.send('ask', {})
    await until('the question', () => isAsked)
    await rooms[1]!.send('stop', {}, { timeout: 2_000 })
    await answer
  })
}

t.test('the tab that takes the link over names the connection before, which events may have left out', async (t) => {
  const app = await start(t)
  const open = browser(t, app)
  const joins: Array<{ connection?: string }> = []
  class Spied extends WebSocket {
    override send (text: string): void {
      const { type, data } = JSON.parse(text) as { type: string, data: object }
      if (type === 'join') joins.push(data)
      super.send(text)
    }
  }
  const one = open()
  await one.join('chat/1').joined
  const two = open({ WebSocket: Spied })
  await two.join('chat/1').joined
  const { connectionId } = two
  t.equal(connectionId, one.connectionId)
  one.close()
  await until('the link has moved', () => joins.length > 0)
  t.equal(joins[0]!.connection?.split(',')[0], connectionId)
})

t.test('the tab that takes the link over begins with the transport that the tab before it was on', async (t) => {
  const app = await start(t)
  const open = browser(t, app)
  const dialled: string[] = []
  // As behind a proxy that takes an upgrade and never answers it.
  const swallowed = (tab: string): object => ({
    WebSocket: class {
      constructor () { dialled.push(tab) }
      close (): void {}
    }
  })
  const one = open({ timeout: 300, ...swallowed('one') })
  await one.join('chat/1').joined
  const two = open({ timeout: 300, ...swallowed('two') })
  const room = two.join('chat/1')
  const heard = hear(room)
  await room.joined
  const errors = refusals(two)
  const { connectionId } = two
  one.close()
  await until('the link has moved', () => two.state === 'open' && two.connectionId !== connectionId)
  await room.send('say', { text: 'x' })
  await until('it is heard', () => heard.length === 1)
  t.same([dialled, two.transport, errors], [['one'], 'sse', []])
})

t.test('a client that is closed before what shares its link is there connects to nobody', async (t) => {
  const app = await start(t)
  browser(t, app)().close()
  await delay(300)
  const { connections, refusals } = await statsOf(app.app)
  t.same([connections.total, refusals], [0, {}])
  // The next client of the browser is the first one, and not one behind it.
  const next = browser(t, app)()
  await next.join('chat/1').joined
  t.equal((await statsOf(app.app)).connections.total, 1)
})

t.test('each tab knows the connection that the hub has by now', async (t) => {
  const app = await start(t)
  const open = browser(t, app)
  const tabs = [open(), open()]
  for (const tab of tabs) await tab.join('chat/1').joined
  const before = tabs[0]!.connectionId!
  await app.app.rooms.close({ connection: before }, { code: 'draining' })
  const now = async (): Promise<string | undefined> => (await app.app.rooms.connections({ user: 'ada' })).connections[0]?.id
  await until('another connection', async () => (await now() ?? before) !== before)
  const id = await now()
  for (const tab of tabs) await until('the tab knows it', () => tab.connectionId === id)
  t.pass()
})

t.test('a tab that ends while the server is asked to let it in ends without an error', async (t) => {
  let answer: ((isAllowed: boolean) => void) | undefined
  const app = await start(t, {
    declare: (app) => {
      app.room(defineRoom('slow', {}), {
        authorize: async () => await new Promise<boolean>((resolve) => { answer = resolve })
      })
    }
  })
  const one = browser(t, app)()
  const { joined } = one.join('slow')
  await until('the server is asked', () => answer !== undefined)
  const errors: unknown[] = []
  const note = (error: unknown): void => { errors.push(error) }
  process.prependListener('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  one.close()
  t.equal((await rejection(joined)).code, 'closed')
  // A rejection counts as unhandled when the turn is over.
  await tick()
  t.same(errors, [])
  answer!(false)
})

t.test('a tab is told why the server refuses what it has missed', async (t) => {
  const app = await start(t)
  const open = browser(t, app)
  class Refusing extends WebSocket {
    override send (text: string): void {
      const { type, id, room } = JSON.parse(text) as { type: string, id: string, room: string }
      if (type !== 'history') return super.send(text)
      const data = { code: 'forbidden', message: 'nothing of before', retry: 'never' }
      this.emit('message', Buffer.from(JSON.stringify({ type: 'error', id, room, data })), false)
    }
  }
  const one = open({ WebSocket: Refusing })
  await one.join('chat/1').joined
  await app.app.rooms.broadcast('chat/1', 'said', { text: 'a', by: 'server' })
  const two = open()
  t.match(await rejection(two.join('chat/1', { last: 1 }).joined), { code: 'forbidden' })
})

t.test('a token() that fails is told as such to all tabs', async (t) => {
  const app = await start(t)
  const open = browser(t, app)
  let isGone = true
  const token = (): string => {
    if (isGone) throw new TypeError('no session')
    return app.token('ada')
  }
  const tabs = [open({ token }), open({ token })]
  const errors: Array<Set<string>> = tabs.map((tab) => {
    const told = new Set<string>()
    tab.on('error', ({ code, message }) => { told.add(`${code}: ${message}`) })
    return told
  })
  await until('both are told', () => errors.every(({ size }) => size > 0))
  for (const told of errors) t.same([...told], ['token_failed: token(): TypeError: no session'])
  isGone = false
  await until('both are open', () => tabs.every(({ state }) => state === 'open'))
})

t.test('tabs are told of the end of their access, and none of them tries again', async (t) => {
  const app = await start(t)
  const open = browser(t, app)
  const tabs = [open(), open()]
  const states: string[][] = tabs.map(() => [])
  const gaps: string[] = []
  const codes: string[] = []
  for (const [index, tab] of tabs.entries()) {
    tab.on('state', ({ state }) => { states[index]!.push(state!) })
    tab.on('gap', ({ room }) => { gaps.push(room!) })
    tab.on('error', ({ code }) => { codes.push(code) })
  }
  const rooms = tabs.map((tab) => tab.join('chat/1'))
  const heard = rooms.map(hear)
  await Promise.all(rooms.map(async ({ joined }) => await joined))
  const { connectionId } = tabs[0]!
  t.equal(tabs[1]!.connectionId, connectionId)
  for (const text of ['a', 'b', 'c']) await app.app.rooms.broadcast('chat/1', 'said', { text, by: 'server' })
  await until('all is heard', () => heard.every((each) => each.length === 3))
  t.equal(await app.app.rooms.revoke({ connection: connectionId! }), 1)
  await until('both are over', () => tabs.every(({ state }) => state === 'closed'))
  t.same(states, [['open', 'reconnecting', 'closed'], ['open', 'reconnecting', 'closed']])
  t.same([...new Set(codes)], ['revoked'])
  t.same(gaps, [])
})

t.test('what a tab asks and sends while the link is replaced, or the room not joined on it, is answered', async (t) => {
  let isHeld = false
  let isAsked: (() => void) | undefined
  let release = (): void => {}
  const gate = async (): Promise<void> => {
    if (!isHeld) return
    await new Promise<void>((resolve) => {
      release = resolve
      isAsked?.()
    })
  }
  const held = async (): Promise<void> => await new Promise((resolve) => { isAsked = resolve })
  const app = await start(t, {
    declare (app) {
      const authorize = async (): Promise<boolean> => {
        await gate()
        return true
      }
      declareChat(app, { history: { size: 10 }, authorize })
    }
  })
  const { proxy, url } = await behind(t, app)
  const open = browser(t, { ...app, url })
  const token = async (): Promise<string> => {
    await gate()
    return app.token('ada')
  }
  const tab = open({ token })
  const room = tab.join('chat/1')
  const heard = hear(room)
  await room.joined
  for (const text of ['a', 'b', 'c']) await app.app.rooms.broadcast('chat/1', 'said', { text, by: 'server' })
  await until('all is heard', () => heard.length === 3)
  const { epoch, offset } = (await app.app.rooms.history('chat/1')).position

  isHeld = true
  let asked = held()
  proxy.cut()
  await asked
  // The link waits for its credential.
  const loaded = room.snapshot(async () => ({ epoch, offset: offset - 1 }))
  const early = room.send('say', { text: 'early' })
  asked = held()
  release()
  await asked
  // The room waits for its permission.
  const late = room.send('say', { text: 'late' })
  await tick()
  isHeld = false
  release()
  const deadline = delay(10_000, 'no answer in 10 s', { ref: false })
  matchList(t, await Promise.race([Promise.all([early, late]), deadline]), [{ id: /\w/ }, { id: /\w/ }])
  t.match(await Promise.race([loaded, deadline]), { epoch })
})

t.test('tabs are told of a room that the server refuses when the link is replaced at once', async (t) => {
  let isAllowed = true
  const app = await start(t, {
    declare: (app) => { declareChat(app, { authorize: ({ params }: Entering) => isAllowed || params.id !== '1' }) }
  })
  const { proxy, url } = await behind(t, app)
  const open = browser(t, { ...app, url })
  const tabs = [open(), open(), open()]
  const errors = tabs.map(refusals)
  const rooms = tabs.map((tab) => tab.join('chat/1'))
  const others = tabs.map((tab) => tab.join('chat/2'))
  await Promise.all([...rooms, ...others].map(async ({ joined }) => await joined))
  // Who has left the room is told nothing of it.
  await rooms[2]!.leave()
  isAllowed = false
  proxy.cut()
  await until('both are told', () => errors[0]!.length + errors[1]!.length === 2)
  t.same(errors, [['forbidden chat/1'], ['forbidden chat/1'], []])
  for (const room of [rooms[0]!, rooms[1]!]) t.match(await rejection(room.send('say', { text: 'x' })), { code: 'forbidden' })
  for (const room of others) t.match(await room.send('say', { text: 'x' }), { id: /\w/ })
  isAllowed = true
  await tabs[0]!.join('chat/1').joined
  t.equal(errors.flat().length, 2)
})

t.test('a tab joins a room again inside the listener that is told the server has taken it out of the room', async (t) => {
  const app = await start(t)
  const open = browser(t, app)
  const tabs = [open(), open()]
  const errors = tabs.map(refusals)
  const again: NamedRoom[] = []
  for (const tab of tabs) {
    tab.on('left', () => { again.push(tab.join('chat/1')) })
    await tab.join('chat/1').joined
  }
  t.equal(await app.app.rooms.leave({ user: 'ada' }, 'chat/1'), 1)
  await until('both have joined again', () => again.length === 2)
  for (const room of again) t.match(await room.send('say', { text: 'x' }), { id: /\w/ })
  t.same(errors.map(({ length }) => length), [1, 1])
})

t.test('tabs are told of a room that is refused for now, and those without that room are not', async (t) => {
  let isFull = true
  const authorize = ({ params }: Entering): boolean => {
    if (isFull && params.id === '1') throw new Refusal('unavailable', { retryAfter: 100 })
    return true
  }
  const app = await start(t, { declare: (app) => { declareChat(app, { authorize }) } })
  const open = browser(t, app)
  const tabs = [open(), open(), open()]
  const errors = tabs.map(refusals)
  const retries: Array<number | undefined> = []
  tabs[1]!.on('error', ({ retryIn }) => { retries.push(retryIn) })
  const other = tabs[2]!.join('chat/2')
  await other.joined
  const rooms = [tabs[0]!, tabs[1]!].map((tab) => tab.join('chat/1'))
  await until('both are told', () => errors[0]!.length > 0 && errors[1]!.length > 0)
  isFull = false
  await Promise.all(rooms.map(async ({ joined }) => await joined))
  t.same([...new Set(errors.flat())], ['unavailable chat/1'])
  t.ok(retries[0]! >= 100, 'and of when it is asked for again')
  t.same(errors[2], [])
  t.same(tabs.map(({ state }) => state), ['open', 'open', 'open'])
  t.match(await other.send('say', { text: 'x' }), { id: /\w/ })
})

t.test('tabs are told that a room without history may have lost events when the link was replaced', async (t) => {
  const app = await start(t, { declare: (app) => { declareChat(app, { history: false }) } })
  const { proxy, url } = await behind(t, app)
  const open = browser(t, { ...app, url })
  const tabs = [open(), open()]
  const gaps: string[][] = tabs.map(() => [])
  for (const [index, tab] of tabs.entries()) tab.on('gap', ({ room }) => { gaps[index]!.push(room!) })
  const rooms = tabs.map((tab) => tab.join('chat/1'))
  const heard = rooms.map(hear)
  const own: string[] = []
  rooms[1]!.on('gap', () => { own.push('gap') })
  await Promise.all(rooms.map(async ({ joined }) => await joined))
  proxy.cut()
  await until('both are told', () => gaps.every(({ length }) => length > 0))
  t.same([...gaps, own], [['chat/1'], ['chat/1'], ['gap']])
  await app.app.rooms.broadcast('chat/1', 'said', { text: 'after', by: 'server' })
  await until('both go on', () => heard.every((each) => each.includes('after')))
  t.same(heard, [['after'], ['after']])
})

for (const type of ['online', 'visibilitychange']) {
  t.test(`${type} of a tab that is shown makes the hidden one that has the link look whether it is alive`, async (t) => {
    const app = await start(t)
    const sockets: WebSocket[] = []
    class Noted extends WebSocket {
      constructor (...given: ConstructorParameters<typeof WebSocket>) {
        super(...given)
        sockets.push(this)
      }
    }
    const open = browser(t, app)
    const pages = [true, false].map((hidden) => {
      const [window, document] = [new EventTarget(), Object.assign(new EventTarget(), { hidden })]
      const addEventListener = window.addEventListener.bind(window)
      return { window, document, room: open({ WebSocket: Noted }, { document, addEventListener }).join('chat/1') }
    })
    await Promise.all(pages.map(async ({ room }) => await room.joined))
    const heard = hear(pages[1]!.room)
    // As after a change of the network: nothing comes and goes, and nobody has closed.
    sockets[0]!.removeAllListeners('message')
    sockets[0]!.send = () => {}
    await app.app.rooms.broadcast('chat/1', 'said', { text: 'missed', by: 'server' })
    for (const { window, document } of pages) (type === 'online' ? window : document).dispatchEvent(new Event(type))
    await until('what was missed is heard', () => heard.length > 0, 10_000)
    t.same(heard, ['missed'])
    t.equal(sockets.length, 2)
  })
}

t.test('when the link moves, tabs are told of no member who has left where there are too many for a list', async (t) => {
  const crowd = defineRoom('many/:id', { events: {}, member: Type.Object({ text: Type.String() }) })
  const app = await start(t, {
    declare: (app) => { app.room(crowd, { presence: () => ({ text: 'x'.repeat(100_000) }) }) }
  })
  const open = browser(t, app)
  const [one, two] = [open(), open()]
  const room = two.join('many/1')
  await Promise.all([one.join('many/1').joined, room.joined])
  for (const user of ['bob', 'carol']) {
    await open({ share: false, token: () => app.token(user) }).join('many/1').joined
  }
  await until('all are there', () => room.members.size === 3)
  const left: string[] = []
  room.on('presence', (change) => { left.push(...change.left.map(({ userId }) => userId)) })
  const moved = new Promise((resolve) => { two.on('state', ({ state }) => { if (state === 'open') resolve(state) }) })
  one.close()
  await moved
  await until('the room is joined anew', () => room.members.size === 0)
  t.same(left, [])
})

t.test('a tab that comes back to the shared link has no value that was removed meanwhile, and is told so', async (t) => {
  const app = await start(t)
  const { rooms } = app.app
  const set = async (team: string): Promise<unknown> => await rooms.broadcast('chat/1', 'score', { team, points: 1 })
  for (const team of ['red', 'blue']) await set(team)
  const open = browser(t, app)
  const { setTimeout, hold, free } = heldTimers()
  const [one, two] = [open(), open({}, { setTimeout })]
  const [stays, back] = [one, two].map((tab) => tab.join('chat/1')) as [NamedRoom, NamedRoom]
  await Promise.all([stays.joined, back.joined])
  await until('both have the values', () => [stays, back].every((room) => teams(room) === 'blue,red'))
  const removed: string[] = []
  for (const room of [stays, back]) room.on('removed', ({ key }) => { removed.push(key) })

  hold()
  two.reconnect()
  await rooms.remove('chat/1', 'score', 'red')
  await set('green')
  await until('the other tab has heard', () => teams(stays) === 'blue,green')
  free()
  await until('it has what there is', () => teams(back) === 'blue,green')
  t.same(removed, ['red', 'red'])
})

t.test('a tab that comes back to the shared link has no value whose removal only a tab heard that is closed by then', async (t) => {
  const app = await start(t)
  const { rooms } = app.app
  const set = async (team: string): Promise<unknown> => await rooms.broadcast('chat/1', 'score', { team, points: 1 })
  for (const team of ['red', 'blue']) await set(team)
  const open = browser(t, app)
  const { setTimeout, hold, free } = heldTimers()
  const [hub, next] = [open(), open()]
  const two = open({}, { setTimeout })
  const [first, second, back] = [hub, next, two].map((tab) => tab.join('chat/1')) as [NamedRoom, NamedRoom, NamedRoom]
  await Promise.all([first.joined, second.joined, back.joined])
  await until('all have the values', () => [first, second, back].every((room) => teams(room) === 'blue,red'))
  const removed: string[] = []
  back.on('removed', ({ key }) => { removed.push(key) })

  hold()
  two.reconnect()
  await rooms.remove('chat/1', 'score', 'red')
  await set('green')
  await until('the other tabs have heard', () => [first, second].every((room) => teams(room) === 'blue,green'))
  hub.close()
  await set('white')
  await until('the next tab has the link', () => teams(second) === 'blue,green,white')
  free()
  await until('it has what there is', () => teams(back) === 'blue,green,white')
  t.same(removed, ['red'])
})

t.test('a tab that takes the link over removes no value that still exists, however late the values come', async (t) => {
  const app = await start(t)
  for (const team of ['red', 'blue']) await app.app.rooms.broadcast('chat/1', 'score', { team, points: 1 })
  let isLate = false
  const late: Array<() => void> = []
  /** As on a slow link, on which what comes behind the answer to a join takes its time. */
  class Slow extends WebSocket {
    #isIn = false

    override emit (...given: Parameters<WebSocket['emit']>): boolean {
      if (this.#isIn && isLate && given[0] === 'message') return late.push(() => super.emit(...given)) > 0
      this.#isIn ||= String(given[1]).startsWith('{"type":"ack"')
      return super.emit(...given)
    }
  }
  const open = browser(t, app)
  const tabs = [open(), open({ WebSocket: Slow }), open({ WebSocket: Slow })]
  const rooms = tabs.map((tab) => tab.join('chat/1'))
  await Promise.all(rooms.map(async ({ joined }) => await joined))
  await until('all have the values', () => rooms.every((room) => teams(room) === 'blue,red'))
  const removed: string[] = []
  for (const room of rooms.slice(1)) room.on('removed', ({ key }) => { removed.push(key) })
  isLate = true
  tabs[0]!.close()
  await until('another tab has the link and frames wait', () => late.length > 0)
  await delay(1_500)
  isLate = false
  for (const come of late) come()
  await app.app.rooms.broadcast('chat/1', 'score', { team: 'green', points: 1 })
  await until('they go on', () => rooms.slice(1).every((room) => teams(room) === 'blue,green,red'))
  t.same(removed, [])
})

t.test('a POST whose credential is refused makes the tab that has the link take a fresh one', async (t) => {
  const app = await start(t)
  let asked = 0
  let spent: string | undefined
  let refused = 0
  const post: typeof fetch = async (url, init) => {
    const { authorization } = init?.headers as Record<string, string>
    if (String(init?.body).includes('"say"') && authorization === (spent ??= authorization)) {
      refused++
      return Response.json({ code: 'token_expired', message: 'it has expired', retry: 'refresh' }, { status: 401 })
    }
    return await fetch(url, init)
  }
  const token = (): string => app.token('ada', { number: ++asked })
  const open = browser(t, app)
  const [room, other] = [open, open].map((open) => open({ transports: ['sse'], token, fetch: post }).join('chat/1'))
  await Promise.all([room!.joined, other!.joined])
  t.match(await room!.send('say', { text: 'x' }, { timeout: 10_000 }), { id: /\w/ })
  t.equal(refused, 1)
})

/** What a page has that may not use what sharing needs, as where its storage is blocked. */
const refuse = async (): Promise<never> => { throw new DOMException('denied in this context', 'SecurityError') }
class NoChannel { constructor () { throw new DOMException('denied in this context', 'SecurityError') } }

/** A page of before a release: the files that it loads later are gone. */
const { outputFiles: [old] } = await build({
  entryPoints: [fileURLToPath(new URL('../../lib/client/index.ts', import.meta.url))],
  bundle: true,
  external: ['./share.js'],
  format: 'iife',
  globalName: 'realtime',
  write: false
})

const UNSHARED: ReadonlyArray<readonly [name: string, code: string, globals: object]> = [
  ['the platform cannot share', script, {}],
  ['the page may hold no lock', script, { BroadcastChannel, navigator: { locks: { request: refuse } } }],
  ['the page may have no channel', script, { BroadcastChannel: NoChannel, navigator: { locks: createLocks() } }],
  ['what shares cannot be loaded', old!.text, { BroadcastChannel, navigator: { locks: createLocks() } }]
]

for (const [name, code, globals] of UNSHARED) {
  t.test(`where ${name}, each tab has its own connection`, async (t) => {
    const app = await start(t)
    const context = createContext({
      AbortController,
      AbortSignal,
      URL,
      WebSocket,
      clearTimeout,
      fetch,
      setTimeout,
      ...globals
    })
    runInContext(code, context)
    const { connect } = runInContext('realtime', context) as { connect (url: string, options: ConnectOptions): Client }
    for (const total of [1, 2]) {
      const client = connect(`${app.url}/ws`, { token: () => app.token('ada'), share: true })
      const errors: unknown[] = []
      client.on('error', (error) => { errors.push(error) })
      t.teardown(() => { client.close() })
      await until('another connection', async () => await totalOf(app) === total)
      client.reconnect()
      await until('it is open again', () => client.state === 'open')
      t.same(errors, [])
    }
  })
}

for (const [what, most] of [['once', 1], ['each time', Infinity]] as const) {
  t.test(`a tab that asks for the last events, while as many as are kept come ${what} meanwhile, is let in after a few questions`, async (t) => {
    const app = await start(t, { declare: (app) => { declareChat(app, { history: { size: 10 } }) } })
    let [said, asked, late] = [0, 0, 0]
    const say = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n++) {
        await app.app.rooms.broadcast('chat/1', 'said', { text: `${++said}`, by: 'server' })
      }
    }
    let heard: string[] = []
    // Its answers about the history come behind events that were sent later.
    class Late extends WebSocket {
      override send (text: string): void {
        if (text.includes('"type":"history"')) asked++
        super.send(text)
      }

      override emit (name: string, ...given: unknown[]): boolean {
        const tell = (): boolean => super.emit(name, ...given)
        if (name !== 'message' || !/"type":"ack".*"events":/s.test(String(given[0])) || late === most) return tell()
        late++
        void say(20).then(async () => {
          await until('the hub has heard it', () => heard.at(-1) === `${said}`)
          tell()
        })
        return true
      }
    }
    const open = browser(t, app)
    const one = open({}, { WebSocket: Late })
    const first = one.join('chat/1')
    heard = hear(first)
    await first.joined
    await say(20)
    const two = open()
    const second = two.join('chat/1', { last: 5 })
    let gaps = 0
    second.on('gap', () => { gaps++ })
    const mine = hear(second)
    await second.joined
    await say(1)
    await until('the next event', () => mine.at(-1) === `${said}`)
    const own = Array.from({ length: 6 }, (_, index) => `${said - 5 + index}`)
    if (most === 1) t.same(mine, own)
    else t.equal(mine.length, 6, 'five that were kept once, and the next one')
    t.equal(gaps, most === 1 ? 0 : 1)
    t.ok(asked <= 10, `${asked} questions`)
  })
}
