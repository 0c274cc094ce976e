import t from 'tap'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { connect, declareChat, start } from '../helpers/net.js'

t.test('a room whose values could not be read is followed no more until somebody joins it again', async (t) => {
  const adapter = memory()
  const told: string[] = []
  const { subscribe, unsubscribe, latest } = adapter
  let isAway = true
  Object.assign(adapter, {
    subscribe: (...given: Parameters<typeof subscribe>) => {
      told.push(`subscribe ${given[0]}`)
      return subscribe.apply(adapter, given)
    },
    unsubscribe: (room: string) => {
      told.push(`unsubscribe ${room}`)
      return unsubscribe.call(adapter, room)
    },
    latest: (...given: Parameters<NonNullable<typeof latest>>) => {
      if (isAway) throw new Refusal('unavailable')
      return latest!.apply(adapter, given)
    }
  })
  const app = await start(t, { adapter, declare: (app) => { declareChat(app) } })
  const peer = await connect(app, { token: app.token('ada') })
  t.teardown(async () => { await peer.close() })
  peer.send({ type: 'join', id: '1', room: 'chat/1' })
  t.match(await peer.next('error'), { id: '1', data: { code: 'unavailable' } })
  t.same(told.filter((line) => line.includes('chat/1')), ['subscribe chat/1', 'unsubscribe chat/1'])
  isAway = false
  peer.send({ type: 'join', id: '2', room: 'chat/1' })
  t.match(await peer.next('ack'), { id: '2' })
  t.same(told.filter((line) => line.includes('chat/1')).slice(2), ['subscribe chat/1'])
})
