import type { Client } from 'fastify-realtime/client'
import type { End, Row } from './database.js'
import { assistant } from './rooms.js'

export type Shown = Pick<Row, 'id' | 'question' | 'text' | 'end'>

/** Shows the questions of a user with their answers, and keeps them up to date. `load` is the `fetch` of the route. */
export async function showAnswers (
  client: Client,
  user: string,
  load: () => Promise<Response>,
  show: (all: Shown[]) => void
): Promise<void> {
  const rows = new Map<string, Shown>()                               // of the database
  const texts = new Map<string, { text: string, end: End | undefined }>()   // of the room
  const draw = (): void => {
    // A row with an end is whole. Before that the room is ahead of it.
    show([...rows.values()].map((row) => row.end === undefined ? { ...row, ...texts.get(row.id) } : row))
  }
  const room = client.join(assistant.at({ id: user }))
  room.on('asked', ({ data: { answer, question } }) => {
    if (!rows.has(answer)) rows.set(answer, { id: answer, question, text: '' })   // it may be in the answer of `load`, too
    draw()
  })
  room.on('answer', ({ data, end }) => {
    texts.set(data.id, { text: data.text, end })
    draw()
    // The room has forgotten it, but the database may have it whole.
    if (end === 'lost' && rows.get(data.id)?.end === undefined) room.reload().catch(() => undefined)
  })
  // A row that had no end when it was loaded, and of which the room has no text, says nothing by itself.
  room.on('closed', () => { room.reload().catch(() => undefined) })
  await room.snapshot(async () => {
    const answer = await load()
    if (!answer.ok) throw new Error(`/answers answers ${answer.status}`)
    const loaded = await answer.json() as Row[]
    rows.clear()                                                      // replace the rows, never merge; keep the texts
    for (const row of loaded) rows.set(row.id, row)
    draw()
    return answer
  })
}
