import { connect } from 'fastify-realtime/client'
import { game } from './rooms.js'

let shown: { id: string, turn: number } | undefined
const room = connect('/ws').join(game.at({ id: '42' }))
room.on('moved', ({ data }) => { console.log(shown?.turn, data.from, data.to) })
await room.snapshot(async () => {
  const answer = await fetch('/games/42')
  if (!answer.ok) throw new Error(`/games/42 answers ${answer.status}`)
  shown = await answer.json() as typeof shown    // shown before the events go on
  return answer                                  // its header says up to where the state goes
})
