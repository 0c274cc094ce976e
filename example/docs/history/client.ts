import type { Client } from 'fastify-realtime/client'
import { support } from './rooms.js'

export interface Line { readonly id: string, readonly place: number, readonly by: string, readonly text: string }

/** Shows a room whole, and keeps it whole. `load` is the `fetch` of the route. */
export async function showSupport (
  client: Client,
  id: string,
  load: () => Promise<Response>,
  show: (lines: Line[]) => void
): Promise<void> {
  const lines = new Map<string, Line>()                 // by id, so that a line which comes twice is one line
  const add = (more: Line[]): void => {
    for (const line of more) lines.set(line.id, line)
    // Sorted: events need not come in the order in which the database has the lines.
    show([...lines.values()].sort((one, other) => one.place - other.place))
  }
  const room = client.join(support.at({ id }))
  room.on('said', ({ data }) => { add([data]) })
  await room.snapshot(async () => {                     // runs again by itself when events were lost
    const answer = await load()
    if (!answer.ok) throw new Error(`the history answers ${answer.status}`)
    const newest = await answer.json() as Line[]
    lines.clear()                                       // replace, never merge: it may not reach back to what is here
    add(newest)
    return answer                                       // its header has the position
  })
}
