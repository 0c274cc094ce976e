import { createElement as h, StrictMode, type ReactElement } from 'react'
import { create } from 'react-test-renderer'
import t from 'tap'
import { useConnection, useRoom } from '../../example/react/use-room.js'
import { dial, until } from '../helpers/client.js'
import { chat, declareChat, start, statsOf } from '../helpers/net.js'

const room = chat.at({ id: '1' })

t.test('a component shows the room it is in, and the last one that is unmounted leaves it', async (t) => {
  const app = await start(t, {
    presence: { grace: 0 },
    declare: (app) => { declareChat(app, { presence: () => ({}) }) }
  })
  const { client } = dial(t, app, 'ada')
  const seen: Record<string, { texts: string[], error: Error | undefined, members: number, connection: string }> = {}
  let send: ReturnType<typeof useRoom<{
    say: {
      data: { text: string }
      reply: unknown
    }
  }, never, unknown>>['send'] | undefined
  const Page = ({ name }: { name: string }): ReactElement => {
    const state = useRoom(client, room)
    send = state.send as never
    seen[name] = {
      texts: state.events.map(({ data }) => (data as { text: string }).text),
      error: state.error,
      members: state.members.length,
      connection: useConnection(client)
    }
    return h('p', {}, name)
  }
  const page = (...names: string[]): ReactElement => h(
    StrictMode,
    {},
    ...names.map((name) => h(Page, { name, key: name }))
  )
  const root = create(page('a', 'b'))
  await until('a member', () => seen.a!.members === 1 && seen.b!.members === 1)
  t.match(seen, { a: { connection: 'open', error: undefined }, b: { connection: 'open', error: undefined } })

  await send!('say', { text: 'one' })
  await until('the event in both', () => [seen.a, seen.b].every((view) => view!.texts.join() === 'one'))

  root.update(page('a'))
  await send!('say', { text: 'two' })
  await until('the event in the one that stays', () => seen.a!.texts.join() === 'one,two')
  t.same(seen.b!.texts, ['one'])

  root.unmount()
  await until('the room is empty', async () => (await statsOf(app.app)).rooms.active === 0)
  t.equal(client.state, 'open')
  t.equal(seen.a!.error, undefined)
})

t.test('a component shows why it was not let in', async (t) => {
  const app = await start(t)
  const { client } = dial(t, app, 'ada')
  let error: Error | undefined
  const Page = (): ReactElement => {
    error = useRoom(client, { ...room, name: 'nothing/1' }).error
    return h('p')
  }
  create(h(Page))
  await until('the error', () => error)
  t.match(error, { code: 'room_unknown' })
})
