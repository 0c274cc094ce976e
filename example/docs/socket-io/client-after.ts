import { connect } from 'fastify-realtime/client'
import { inbox, lobby, project } from './rooms.js'

declare function fetchToken (): Promise<string>
declare function add (comment: { id: string, text: string, by: string }): void
declare function mark (id: string): void
declare function show (text: string): void

const fail = (error: Error): void => { show(error.message) }

const client = connect('https://app.example.com/ws', { token: fetchToken })
client.on('error', fail)                                              // was connect_error; a refused room, too
client.on('gap', () => { show('load the room again') })               // events are lost for good

const room = client.join(project.at({ id: '42' }), { last: 50 })
room.on('commented', ({ data }) => { add(data) })
room.on('typing', ({ data }) => { show(`${data.by} is typing`) })
room.on('presence', ({ joined, left }) => {
  if (joined.some(({ userId }) => userId === client.userId)) return   // who is here already, this user too
  for (const { userId } of joined) show(`${userId} is here`)
  for (const { userId } of left) show(`${userId} has left`)
})
room.send('comment', { text: 'hello' }, { timeout: 5_000 }).then(({ id }) => { mark(id) }, fail)

client.join(lobby).send('tell', { to: 'bob', text: 'hello' }).catch(fail)
client.on('state', ({ state }) => {
  if (state !== 'open') return                                        // before it is, nobody knows the user
  client.join(inbox.at({ id: client.userId! })).on('told', ({ data }) => { show(`${data.by}: ${data.text}`) })
}, { once: true })
