import { connect } from 'fastify-realtime/client/core'
import { liveState, members } from 'fastify-realtime/client/parts'
import { snapshot } from 'fastify-realtime/client/snapshot'
import { game } from './rooms.js'

const client = connect('/ws', { use: [members, liveState] })
const room = client.join(game.at({ id: '42' }))
room.on('presence', () => { console.log(room.members.size) })
await snapshot(room, () => fetch('/games/42'))
