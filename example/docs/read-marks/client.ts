import type { Client } from 'fastify-realtime/client'
import { desk, talk } from './rooms.js'

export interface Line { readonly id: number, readonly by: string, readonly text: string }
type Load = () => Promise<Response>

async function read<T> (answer: Response): Promise<T> {
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`)
  return await answer.json() as T
}

/** What draws a talk: its lines, which of them the user has not read, and up to where each of the others has. */
type DrawTalk = (lines: Line[], unread: ReadonlySet<number>, marks: ReadonlyMap<string, number>) => void

/** @returns what to call when the user has seen a line; `load` is the `fetch` of `/talks/:id` */
export async function showTalk (
  client: Client, id: string, me: string, load: Load, draw: DrawTalk
): Promise<(upTo: number) => Promise<void>> {
  const room = client.join(talk.at({ id }))
  const lines = new Map<number, Line>()
  const marks = new Map<string, number>()
  const unread = new Set<number>()                      // of ids, no counter: what comes twice counts once
  const said = (line: Line): void => {
    lines.set(line.id, line)
    if (line.by !== me && line.id > (marks.get(me) ?? 0)) unread.add(line.id)
  }
  const seen = (by: string, upTo: number): void => {
    marks.set(by, Math.max(upTo, marks.get(by) ?? 0))
    if (by === me) for (const line of unread) if (line <= upTo) unread.delete(line)   // another tab has read it, too
  }
  const show = (): void => { draw([...lines.values()].sort((one, other) => one.id - other.id), unread, marks) }
  room.on('said', ({ data }) => { said(data); show() })
  room.on('seen', ({ data }) => { seen(data.by, data.upTo); show() })
  await room.snapshot(async () => {
    const answer = await load()
    const loaded = await read<{ lines: Line[], marks: Record<string, number> }>(answer)
    for (const kept of [lines, marks, unread]) kept.clear()
    for (const [by, upTo] of Object.entries(loaded.marks)) seen(by, upTo)             // the marks first,
    for (const line of loaded.lines) said(line)                                       // by which lines are unread
    show()
    return answer
  })
  return async (upTo) => {
    if (upTo > (marks.get(me) ?? 0)) await room.send('see', { upTo })
  }
}

/** Shows who is online. `load` is the `fetch` of `/desk`. */
export async function showDesk (
  client: Client, load: Load, draw: (online: ReadonlySet<string>) => void
): Promise<void> {
  const room = client.join(desk)
  const online = new Set<string>()
  room.on('online', ({ data: { user, isOnline } }) => {
    if (isOnline) online.add(user)
    else online.delete(user)
    draw(online)
  })
  await room.snapshot(async () => {
    const answer = await load()
    const there = await read<string[]>(answer)
    online.clear()
    for (const user of there) online.add(user)
    draw(online)
    return answer
  })
}
