import { useState } from 'react'
import { useConnection, useEvent, usePresence, useRoom } from 'fastify-realtime/react'

const room = { name: 'board/1' }

export function Page () {
  const { status, events, send } = useRoom(room, { last: 10, events: ['said'] })
  const [count, setCount] = useState(0)
  const [heard, setHeard] = useState(0)
  useEvent(room, 'said', () => { setHeard((heard) => heard + 1) })
  return (
    <main>
      <h1>Version one</h1>
      <p id='status'>{status} {useConnection().state} {usePresence(room).length} {heard}</p>
      <button id='count' onClick={() => { setCount(count + 1) }}>{count}</button>
      <button id='say' onClick={() => { void send('say', { text: `line ${events.length}` }) }}>Say</button>
      <ol>{events.map(({ offset, data }) => <li key={offset}>{data.text}</li>)}</ol>
    </main>
  )
}
