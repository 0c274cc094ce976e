import Fastify from 'fastify'
import { Type } from '@sinclair/typebox'
import { defineRoom } from '../../lib/index.js'
import { chat } from './1-chat.js'
import { inbox } from './2-notify.js'
import { connect } from '../../lib/client/index.js'
const app = Fastify()
// @ts-expect-error options needed: chat has messages
app.room(chat)
// @ts-expect-error reply missing
app.room(chat, { presence: () => ({ name: 'x' }), on: { say: async () => {}, type: () => {} } })
// @ts-expect-error member data missing
app.room(chat, { on: { say: async () => ({ id: 'x' }), type: () => {} } })
// @ts-expect-error a param that is no string
defineRoom('a/:n', { params: Type.Object({ n: Type.Integer() }) })
// @ts-expect-error inbox has a param: it is no address
await app.rooms.broadcast(inbox, 'shipped', { order: '1' })
// @ts-expect-error wrong data
await app.rooms.broadcast(inbox.at({ id: '1' }), 'shipped', { order: 1 })
// @ts-expect-error unknown message
connect('/ws').join(chat.at({ id: '1' })).send('nope', {})
const state: string = await connect('/ws').join(chat.at({ id: '1' })).send('say', { text: '' }).then(r => r.id)
app.rooms.broadcast('by-name', 'x', { anything: state })
