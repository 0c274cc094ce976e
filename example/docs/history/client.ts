import type { Client } from 'fastify-realtime/client'
import { support } from './rooms.js'

export interface Line { readonly id: string, readonly by: string, readonly text: string }

interface Answer { readonly position: { epoch: string, offset: number }, readonly lines: Line[] }

/** Shows a room whole, and keeps it whole. */
export async function showSupport (
  client: Client,
  id: string,
  load: () => Promise<Answer>,
  show: (lines: Line[]) => void
): Promise<void> {
  const lines = new Map<string, Line>()                 // by id, so that a line which comes twice is one line
  const add = (more: Line[]): void => {
    for (const line of more) lines.set(line.id, line)
    show([...lines.values()])
  }
  const { position, lines: first } = await load()
  add(first)
  const room = client.join(support.at({ id }), { since: position })   // what came behind the answer is sent now
  room.on('said', ({ data }) => { add([data]) })
  client.on('gap', (detail) => {                        // some events are lost for good: read the database again
    if (detail.room === room.name) void load().then((answer) => { add(answer.lines) })
  })
  await room.joined
}
