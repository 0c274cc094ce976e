import type { ReactElement } from 'react'
import { useRoom, useStream } from 'fastify-realtime/react'
import { assistant } from './rooms.js'

/** An answer as it is so far, and how it ended where it is not whole. */
export function Answer ({ chat, id }: { chat: string, id: string }): ReactElement {
  const { send } = useRoom(assistant.at({ id: chat }))
  const { text, end } = useStream(assistant.at({ id: chat }), 'answer', id)
  return (
    <section>
      <p>{text}</p>
      {end === undefined && <button onClick={() => { void send('stop', { answer: id }) }}>Stop</button>}
      {end === 'lost' && <small>The server has lost this answer. Ask again.</small>}
      {typeof end === 'object' && <small>{end.code === 'cancelled' ? 'Stopped.' : `The answer ends here: ${end.message}.`}</small>}
    </section>
  )
}
