import t from 'tap'
import { createRenderer, defineComponent, h, nextTick, ref, type App, type Component } from 'vue'
import type { Client } from '../../lib/client/index.js'
import {
  realtimePlugin, useConnection, useEvent, useLatest, usePresence, useRoom, useRoomEffect, useStream
} from '../../lib/vue/index.js'
import { dial, until } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { start, statsOf, type Running } from '../helpers/net.js'
import { board, declareBoard, type Counts } from '../views/rooms.js'

interface Node { parent?: Node | null, children: Node[] }

/** Renders into objects. */
const { createApp } = createRenderer<Node, Node>({
  insert (node, parent, before) {
    node.parent = parent
    parent.children.splice(before ? parent.children.indexOf(before) : parent.children.length, 0, node)
  },
  remove (node) { node.parent?.children.splice(node.parent.children.indexOf(node), 1) },
  createElement: () => ({ children: [] }),
  createText: () => ({ children: [] }),
  createComment: () => ({ children: [] }),
  setText () {},
  setElementText () {},
  patchProp () {},
  parentNode: (node) => node.parent ?? null,
  nextSibling: (node) => node.parent?.children[node.parent.children.indexOf(node) + 1] ?? null
})

async function startBoard (t: Parameters<typeof start>[0]): Promise<Running & { readonly counts: Counts }> {
  let counts: Counts | undefined
  const running = await start(t, { presence: { grace: 0 }, declare: (app) => { counts = declareBoard(app) } })
  return { ...running, counts: counts! }
}

function mount (client: Client, page: Component): App<Node> {
  const app = createApp(page).use(realtimePlugin, client)
  app.mount({ children: [] })
  return app
}

t.test('components have a room together, with its events, members, values and texts', async (t) => {
  const server = await startBoard(t)
  const { client } = dial(t, server, 'ada')
  const heard: string[] = []
  let page: ReturnType<typeof use> | undefined
  const use = () => {
    const room = () => board.at({ id: '1' })
    useEvent(room, 'said', ({ data }) => { heard.push(data.text) })
    return {
      ...useRoom(room, { last: 2, events: ['said'] }),
      members: usePresence(room),
      scores: useLatest(room, 'score'),
      red: useLatest(room, 'score', 'red'),
      text: useStream(room, 'answer', 'a1'),
      connection: useConnection()
    }
  }
  const Part = defineComponent(() => {
    page = use()
    return () => h('p')
  })
  const app = mount(client, () => [h(Part), h(Part)])
  await until('a member', () => page!.members.value[0]?.data.name === 'ADA')
  matchList(
    t,
    [page!.status.value, page!.connection.value],
    ['joined', { state: 'open', userId: 'ada', error: undefined }]
  )
  for (const text of ['one', 'two', 'three']) t.same(await page!.send('say', { text }), { id: text })
  await until('the newest two', () => page!.events.value.map(({ data }) => data.text).join() === 'two,three')
  t.same(heard, ['one', 'one', 'two', 'two', 'three', 'three'], 'each of the two components has a listener')
  await page!.send('score', { team: 'red', points: 3 })
  await until('the value', () => page!.red.value?.points === 3 && page!.scores.value.size === 1)
  await page!.send('write', { id: 'a1', text: 'a long text' })
  await until('the text', () => page!.text.value.end === 'done')
  t.match(page!.text.value, { text: 'alongtext' })
  app.unmount()
  await until('the room is empty', async () => (await statsOf(server.app)).rooms.active === 0)
  t.same(server.counts, { joins: 1, leaves: 1 })
})

t.test('a component that asks for more events than before goes on showing those that it has', async (t) => {
  const server = await startBoard(t)
  const { client } = dial(t, server, 'ada')
  const last = ref(2)
  const renders: string[] = []
  let room: ReturnType<typeof use> | undefined
  const use = () => useRoom(() => board.at({ id: '1' }), {
    get last () { return last.value },
    events: ['said']
  })
  const app = mount(client, defineComponent(() => {
    room = use()
    return () => {
      renders.push(room!.events.value.map(({ data }) => data.text).join())
      return h('p')
    }
  }))
  for (const text of ['one', 'two', 'three']) await room!.send('say', { text })
  await until('the newest two', () => renders.at(-1) === 'two,three')
  const before = renders.length
  last.value = 3
  await nextTick()
  await room!.send('say', { text: 'four' })
  await until('the newest three', () => renders.at(-1) === 'two,three,four')
  last.value = 1
  await until('the newest', () => renders.at(-1) === 'four')
  t.same(renders.slice(before), ['two,three', 'two,three,four', 'four'])
  app.unmount()
})

t.test('another address is another room, and none is none', async (t) => {
  const server = await startBoard(t)
  const { client } = dial(t, server, 'ada')
  const id = ref<string | null>('1')
  let room: ReturnType<typeof use> | undefined
  const use = () => useRoom(() => id.value === null ? null : board.at({ id: id.value }), { last: 5 })
  const app = mount(client, defineComponent(() => {
    room = use()
    return () => h('p')
  }))
  await until('joined', () => room!.status.value === 'joined')
  await room!.send('say', { text: 'in 1' })
  await until('its event', () => room!.events.value.some(({ type }) => type === 'said'))
  id.value = '2'
  await until('joined', () => room!.status.value === 'joined' && server.counts.joins === 2)
  t.same(room!.events.value, [])
  await until('the first is left', () => server.counts.leaves === 1)
  id.value = null
  await nextTick()
  t.equal(room!.status.value, 'idle')
  app.unmount()
  await until('both are left', () => server.counts.leaves === 2)
})

t.test('an effect has the room once it is there, and ends with the component, with another address and with a closed client', async (t) => {
  const server = await startBoard(t)
  const { client } = dial(t, server, 'ada')
  const told: string[] = []
  const id = ref('1')
  const version = ref(1)
  const app = mount(client, defineComponent(() => {
    useRoomEffect(() => board.at({ id: id.value }), (room) => {
      told.push(`${version.value} has ${room.name}`)
      return () => { told.push(`out of ${room.name}`) }
    })
    return () => h('p')
  }))
  await until('the room', () => told.length === 1)
  version.value = 2
  await nextTick()
  id.value = '2'
  await until(`the other room; ${told.join()}`, () => told.length === 3)
  client.close()
  client.reconnect()
  await until(`the other room anew; ${told.join()}`, () => told.length === 5)
  app.unmount()
  t.same(told, [
    '1 has board/1', 'out of board/1', '2 has board/2', 'out of board/2', '2 has board/2', 'out of board/2'
  ])
})

t.test('without a client the error says what to do', async (t) => {
  let error: unknown
  const app = createApp(defineComponent(() => {
    useConnection()
    return () => h('p')
  }))
  app.config.errorHandler = (thrown) => { error = thrown }
  app.config.warnHandler = () => {}
  app.mount({ children: [] })
  t.match(error, { code: 'REALTIME_ERR_PROVIDER' })
})
