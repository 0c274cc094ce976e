import { Type } from '@sinclair/typebox'
import t from 'tap'
import { connect as connectClient } from '../../lib/client/index.js'
import { defineRoom } from '../../lib/index.js'
import { connect, eventually, start, TRANSPORTS } from '../helpers/net.js'

const everyone = defineRoom('@all', {
  events: {
    price: { data: Type.Object({ of: Type.String(), is: Type.Number() }), delivery: 'latest', key: 'of' },
    answer: { data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'append', key: 'id', append: 'text' },
    notice: Type.Object({ text: Type.String() })
  }
})

for (const transport of TRANSPORTS) {
  t.test(`what a built-in room holds is there over ${transport}, with the first link and with each one after`, async (t) => {
    const server = await start(t, { declare: (app) => { app.room(everyone, { presence: true, flush: 2 }) } })
    const { rooms } = server.app
    const token = server.token('ada')
    await rooms.broadcast('@all', 'price', { of: 'rum', is: 7 })
    const writer = rooms.stream('@all', 'answer', { id: 'a' })
    await writer.write('so far')
    const bob = await connect(server, { token: server.token('bob') })
    const client = connectClient(`${server.url}/ws`, { token, transports: [transport] })
    t.teardown(() => { client.close() })
    const room = client.join(everyone)
    const heard = { text: '', notices: [] as string[] }
    room.on('answer', ({ data }) => { heard.text = data.text })
    room.on('notice', ({ data }) => { heard.notices.push(data.text) })
    const held = (): unknown => ({
      prices: [...room.state.get('price')?.values() ?? []].map((price) => (price as { is: number }).is),
      members: [...room.members.keys()].sort(),
      ...heard
    })
    const is = async (expected: object, when: string): Promise<void> => {
      await eventually(when, () => JSON.stringify(held()), (text) => text === JSON.stringify(expected))
    }
    await room.joined
    const members = ['ada', 'bob']
    await is({ prices: [7], members, text: 'so far', notices: [] }, 'with the first link')
    const notices: string[] = []
    for (let round = 1; round < 3; round++) {
      client.reconnect()
      await rooms.broadcast('@all', 'price', { of: 'tea', is: round })
      await rooms.broadcast('@all', 'notice', { text: `notice ${round}` })
      notices.push(`notice ${round}`)
      await is({ prices: [7, round], members, text: 'so far', notices }, `after break ${round}`)
    }
    await writer.end()
    await bob.close()
    t.pass('as expected')
  })
}
