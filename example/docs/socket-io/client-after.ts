import { connect } from 'fastify-realtime/client'
import { inbox, project } from './rooms.js'

declare function fetchToken (): Promise<string>
declare function add (comment: { id: string, text: string, by: string }): void
declare function mark (id: string): void
declare function show (text: string): void

const client = connect('https://app.example.com/ws', { token: fetchToken })
const room = client.join(project.at({ id: '42' }), { last: 50 })
room.joined.catch((error: Error) => { show(error.message) })        // `forbidden`
room.on('commented', ({ data }) => { add(data) })
room.on('typing', ({ data }) => { show(`${data.by} is typing`) })
room.send('comment', { text: 'hello' }).then(({ id }) => { mark(id) }, (error: Error) => { show(error.message) })

client.on('gap', () => { show('load the room again') })               // events are lost for good
export const ofMe = (userId: string): void => {
  client.join(inbox.at({ id: userId })).on('invited', ({ data }) => { show(data.project) })
}
