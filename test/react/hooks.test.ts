import { createElement as h, StrictMode, type ReactElement, type ReactNode } from 'react'
import { renderToString } from 'react-dom/server'
import { create } from 'react-test-renderer'
import t from 'tap'
import type { Client } from '../../lib/client/index.js'
import { snapshot } from '../../lib/client/snapshot.js'
import {
  RealtimeProvider, useConnection, useEvent, useLatest, usePresence, useRoom, useRoomEffect, useStream
} from '../../lib/react/index.js'
import { dial, rejection, until } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { start, statsOf, type Running } from '../helpers/net.js'
import { board, declareBoard, type Counts } from '../views/rooms.js'

const room = board.at({ id: '1' })

async function startBoard (t: Parameters<typeof start>[0]): Promise<Running & { readonly counts: Counts }> {
  let counts: Counts | undefined
  const running = await start(t, {
    presence: { grace: 0 },
    declare: (app) => {
      counts = declareBoard(app)
      app.get('/state', async (_request, reply) => {
        await reply.position(room)
        return {}
      })
    }
  })
  return { ...running, counts: counts! }
}

const page = (client: Client, ...children: ReactNode[]): ReactElement =>
  h(StrictMode, {}, h(RealtimeProvider, { client }, ...children))

t.test('components show the room they are in together, and the last one that is unmounted leaves it', async (t) => {
  const app = await startBoard(t)
  const { client } = dial(t, app, 'ada')
  type Room = ReturnType<typeof useBoard>
  const seen: Record<string, Room & { members: string[], connection: string }> = {}
  function useBoard () { return useRoom(board.at({ id: '1' }), { last: 2, events: ['said'] }) }
  const Page = ({ name }: { name: string }): ReactElement => {
    const members = usePresence(room).map(({ data }) => data.name)
    seen[name] = { ...useBoard(), members, connection: useConnection().state }
    return h('p', {}, name)
  }
  const pages = (...names: string[]): ReactElement => page(client, ...names.map((name) => h(Page, { name, key: name })))
  const texts = (name: string): string => seen[name]!.events.map(({ data }) => data.text).join()

  const root = create(pages('a', 'b'))
  await until('a member in both', () => seen.a?.members[0] === 'ADA' && seen.b?.members[0] === 'ADA')
  t.match(seen, { a: { connection: 'open', status: 'joined', error: undefined, gaps: 0 }, b: { connection: 'open' } })
  t.same(await seen.a!.send('say', { text: 'one' }), { id: 'one' })
  await until('the event in both', () => texts('a') === 'one' && texts('b') === 'one')

  root.update(pages('a'))
  for (const text of ['two', 'three']) await seen.a!.send('say', { text })
  await until('the newest two in the one that stays', () => texts('a') === 'two,three')
  t.equal(texts('b'), 'one')

  root.update(pages('a', 'c'))
  t.equal(texts('c'), 'two,three', 'one that comes later has them at once')
  t.equal(app.counts.joins, 1)

  root.unmount()
  await until('the room is empty', async () => (await statsOf(app.app)).rooms.active === 0)
  t.same([client.state, app.counts], ['open', { joins: 1, leaves: 1 }])
})

t.test('a component that goes and comes back at once does not leave the room', async (t) => {
  const app = await startBoard(t)
  const { client } = dial(t, app, 'ada')
  let status: string | undefined
  const Page = (): ReactElement => {
    status = useRoom(room).status
    return h('p')
  }
  const root = create(page(client, h(Page, { key: 1 })))
  await until('joined', () => status === 'joined')
  for (let key = 2; key < 6; key++) root.update(page(client, h(Page, { key })))
  root.update(page(client))
  await new Promise((resolve) => { setImmediate(resolve) })
  root.update(page(client, h(Page, { key: 6 })))
  t.equal(status, 'joined')
  t.same(app.counts, { joins: 1, leaves: 0 })
  root.unmount()
})

t.test('the room is joined with what the component asks for that asks for most, also behind its children', async (t) => {
  const app = await startBoard(t)
  const { client: other } = dial(t, app, 'bob')
  for (const text of ['one', 'two', 'three']) await other.join(room).send('say', { text })
  const { client } = dial(t, app, 'ada')
  let shown: readonly string[] = []
  const Child = (): ReactElement => h('p', {}, usePresence(room).length)
  const Parent = (): ReactElement => {
    shown = useRoom(room, { last: 2, events: ['said'] }).events.map(({ data }) => data.text)
    return h(Child)
  }
  const root = create(page(client, h(Parent)))
  await until('what was said before', () => shown.join() === 'two,three')
  t.equal(app.counts.joins, 2, 'one for each of the two')
  root.unmount()
})

t.test('a component that asks for more events than before goes on showing those that it has', async (t) => {
  const app = await startBoard(t)
  const { client } = dial(t, app, 'ada')
  let shown: ReadonlyArray<{ data: { text: string } }> = []
  let send: ReturnType<typeof useBoard>['send'] | undefined
  const renders: string[] = []
  const useBoard = (last: number) => useRoom(room, { last, events: ['said'] })
  const Page = ({ last }: { last: number }): ReactElement => {
    const { events, ...rest } = useBoard(last)
    shown = events
    send = rest.send
    renders.push(events.map(({ data }) => data.text).join())
    return h('p')
  }
  const root = create(page(client, h(Page, { last: 2 })))
  for (const text of ['one', 'two', 'three']) await send!('say', { text })
  await until('the newest two', () => renders.at(-1) === 'two,three')
  const before = renders.length
  root.update(page(client, h(Page, { last: 3 })))
  await send!('say', { text: 'four' })
  await until('the newest three', () => renders.at(-1) === 'two,three,four')
  root.update(page(client, h(Page, { last: 1 })))
  t.same([...new Set(renders.slice(before))], ['two,three', 'two,three,four', 'four'])
  const { length } = renders
  const same = shown
  root.update(page(client, h(Page, { last: 1 })))
  t.ok(renders.length > length)
  t.equal(shown, same, 'the list is the same object until it changes')
  root.unmount()
})

t.test('a listener is always that of the last render, and hears each event once', async (t) => {
  const app = await startBoard(t)
  const { client } = dial(t, app, 'ada')
  const heard: string[] = []
  let send: ReturnType<typeof useRoom<never, never, never>>['send'] | undefined
  const Page = ({ version }: { version: number }): ReactElement => {
    send = useRoom(room).send as never
    useEvent(room, 'said', ({ data }) => { heard.push(`${data.text} by ${version}`) })
    return h('p')
  }
  const root = create(page(client, h(Page, { version: 1 })))
  await (send as unknown as (type: string, data: object) => Promise<unknown>)('say', { text: 'x' })
  await until('the first', () => heard.length === 1)
  root.update(page(client, h(Page, { version: 2 })))
  await (send as unknown as (type: string, data: object) => Promise<unknown>)('say', { text: 'y' })
  await until('the second', () => heard.length === 2)
  t.same(heard, ['x by 1', 'y by 2'])
  root.unmount()
})

t.test('an effect has the room once it is there, and ends with the component, with another address and with a closed client', async (t) => {
  const app = await startBoard(t)
  const { client } = dial(t, app, 'ada')
  const told: string[] = []
  const Page = ({ id, version }: { id: string, version: number }): ReactElement => {
    useRoomEffect(board.at({ id }), (room) => {
      told.push(`${version} has ${room.name}`)
      return () => { told.push(`${version} is out of ${room.name}`) }
    })
    return h('p')
  }
  const pages = (id: string, version: number): ReactElement => page(client, h(Page, { id, version }))
  const root = create(pages('1', 1))
  await until('the room', () => told.length === 1)
  root.update(pages('1', 2))
  root.update(pages('2', 3))
  await until(`the other room; ${told.join()}`, () => told.length === 3)
  client.close()
  client.reconnect()
  await until(`the other room anew; ${told.join()}`, () => told.length === 5)
  root.unmount()
  await until(`the end; ${told.join()}`, () => told.length === 6)
  t.same(told, [
    '1 has board/1', '1 is out of board/1', '3 has board/2', '3 is out of board/2', '3 has board/2', '3 is out of board/2'
  ])
})

t.test('a state that cannot be loaded again behind a gap does not end the room', async (t) => {
  const app = await startBoard(t)
  const { client, errors } = dial(t, app, 'ada')
  let view: { readonly status: string, readonly gaps: number, readonly error?: unknown } | undefined
  let loads = 0
  let met = false
  const Page = (): ReactElement => {
    view = useRoom(room)
    useRoomEffect(room, (joined) => {
      void snapshot(joined, async () => {
        if (++loads > 1) throw new Error('the database is away')
        return await fetch(`${app.url}/state`)
      }).then(() => { met = true }, () => {})
    })
    return h('p')
  }
  const root = create(page(client, h(Page)))
  await until('joined', () => view!.status === 'joined' && met)
  client.reconnect()
  const said = { text: 'more than the history keeps', by: 'bob' }
  await Promise.all(Array.from({ length: 200 }, () => app.app.rooms.broadcast(room, 'said', said)))
  await until('a load that failed', () => errors.length > 0)
  matchList(t, errors, [{ code: 'load_failed' }])
  t.match(view, { status: 'joined', error: undefined, gaps: 1 })
  root.unmount()
})

t.test('values and texts are shown as they are, and one key renders for itself alone', async (t) => {
  const app = await startBoard(t)
  const { client } = dial(t, app, 'ada')
  let send: ((type: never, data: never) => Promise<unknown>) | undefined
  let all: ReadonlyMap<string, { points: number }> = new Map()
  const reds: Array<number | undefined> = []
  let text: ReturnType<typeof useText> | undefined
  const useText = () => useStream(room, 'answer', 'a1')
  const Page = (): ReactElement => {
    send = useRoom(room).send as never
    all = useLatest(room, 'score')
    text = useText()
    return h('p')
  }
  const Red = (): ReactElement => {
    reds.push(useLatest(room, 'score', 'red')?.points)
    return h('p')
  }
  const root = create(h(RealtimeProvider, { client }, h(Page), h(Red)))
  const say = async (type: string, data: object): Promise<unknown> => await send!(type as never, data as never)
  await say('score', { team: 'red', points: 1 })
  await until('red', () => all.get('red')?.points === 1)
  await say('write', { id: 'a1', text: 'a long text' })
  await until('the whole text', () => text!.end === 'done')
  t.match(text, { text: 'alongtext', data: { id: 'a1', text: 'alongtext' } })
  t.same(reds, [undefined, 1])
  root.unmount()
})

t.test('a component shows why it was not let in, and asks again when it comes back', async (t) => {
  const app = await startBoard(t)
  const { client, errors } = dial(t, app, 'ada')
  let view: ReturnType<typeof useClosed> | undefined
  const useClosed = () => useRoom(board.at({ id: 'closed' }))
  const Page = (): ReactElement => {
    view = useClosed()
    return h('p')
  }
  const root = create(page(client, h(Page)))
  await until('the error', () => view!.error)
  t.match(view, { status: 'ended', error: { code: 'forbidden' } })
  t.equal(errors.length, 1)
  t.equal((await rejection(view!.send('say', { text: 'x' }))).code, 'forbidden')
  root.update(page(client))
  root.update(page(client, h(Page)))
  await until('the second refusal', () => errors.length === 2)
  root.unmount()
})

t.test('rooms are joined again when a client that was closed connects anew', async (t) => {
  const app = await startBoard(t)
  const { client } = dial(t, app, 'ada')
  const seen: string[] = []
  const Page = (): ReactElement => {
    const { status } = useRoom(room)
    if (seen.at(-1) !== status) seen.push(status)
    return h('p')
  }
  const root = create(page(client, h(Page)))
  await until('joined', () => seen.at(-1) === 'joined')
  client.close()
  await until('ended', () => seen.at(-1) === 'ended')
  client.reconnect()
  await until('joined again', () => seen.at(-1) === 'joined')
  t.same(seen, ['joining', 'joined', 'ended', 'joining', 'joined'])
  root.unmount()
})

t.test('a message of a component that is unmounted at once is answered before the room is left', async (t) => {
  const app = await startBoard(t)
  const { client } = dial(t, app, 'ada')
  let send: ReturnType<typeof useHere>['send'] | undefined
  const useHere = () => useRoom(room)
  const Page = (): ReactElement => {
    send = useHere().send
    return h('p')
  }
  const root = create(page(client, h(Page)))
  const answer = send!('say', { text: 'last words' })
  root.unmount()
  t.same(await answer, { id: 'last words' })
  await until('the room is empty', async () => (await statsOf(app.app)).rooms.active === 0)
})

t.test('without an address nothing is joined, and without a provider the error names it', async (t) => {
  const app = await startBoard(t)
  const { client } = dial(t, app, 'ada')
  let view: ReturnType<typeof useNothing> | undefined
  const useNothing = () => useRoom(null as typeof room | null)
  const Page = (): ReactElement => {
    view = useNothing()
    return h('p')
  }
  const root = create(page(client, h(Page)))
  matchList(t, view, { status: 'idle', events: [] })
  t.equal((await rejection(view!.send('say', { text: 'x' }))).code, 'not_joined')
  root.unmount()
  t.throws(() => { renderToString(h(Page)) }, { code: 'REALTIME_ERR_PROVIDER' })
})
