import { connect } from 'fastify-realtime/client'
import { game } from './rooms.js'

async function token (): Promise<string> {
  const answer = await fetch('/token')
  if (!answer.ok) throw new Error(`/token answers ${answer.status}`)   // then the client tries again
  return await answer.text()
}

const client = connect('https://api.example.com/ws', { token })
const room = client.join(game.at({ id: '42' }), { last: 50 })
room.on('moved', ({ data, offset, timestamp }) => { console.log(data.from, data.to, offset, timestamp) })
await room.joined                                                // rejects with { code: 'forbidden' } when refused
const { turn } = await room.send('move', { from: 12, to: 28 })   // typed by the contract; rejects with a code
console.log(turn, room.members.get('ada')?.data.name)
