import { connect } from 'fastify-realtime/client'
import { chat } from './rooms.js'

export function open (id: string, token: () => Promise<string>, print: (line: string) => void): (text: string) => void {
  const client = connect('/ws', { token })
  const room = client.join(chat.at({ id }), { last: 20 })
  room.on('said', ({ data }) => { print(`${data.by}: ${data.text}`) })
  return (text) => { room.send('say', { text }).catch((error: Error) => { print(error.message) }) }
}
