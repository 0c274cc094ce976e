import { away, type NatsLink } from './link.js'
import type { Kept, Pace, Page, Part } from './pages.js'

/** Requests under way at a time, in the first round and at most. */
const LANES = { first: 4, most: 16 }
/** Messages that one lane is likely to find, and at most. */
const LANE = { likely: 2, most: 4 }

/** That of a stream of which nothing has been read. */
export function newPace (): Pace { return { width: LANES.first, apart: 1 } }

/** The messages from the first number of a lane up to the first message that reaches the next lane. */
interface Lane {
  readonly found: readonly Kept[]
  /** Whether there is none behind the last. */
  readonly isEnd: boolean
  /** Whether more may be left in it. */
  readonly isCut: boolean
}

/**
 * Reads messages of a subject from the leader of its stream, which answers for one message at a time. One request after
 * another would take the time of an answer for each, and a member that comes back to a busy cluster would catch up more
 * slowly than events come. So a stretch of numbers is divided into lanes that are read at once, each as long as
 * messages were apart so far.
 *
 * @param batchOf messages that are likely to fit into the bytes that are left
 */
export async function readLeader (
  link: NatsLink,
  {
    stream, subject, start, most, bytes = Number.POSITIVE_INFINITY, patience = Number.POSITIVE_INFINITY,
    pace = newPace()
  }: Part,
  batchOf: (read: number, size: number, count: number, bytes: number) => number
): Promise<Page> {
  const messages: Kept[] = []
  const until = performance.now() + patience
  let size = 0
  for (let seq = start; messages.length < most;) {
    const likely = Math.min(batchOf(messages.length, size, most, bytes), most - messages.length)
    const count = Math.min(pace.width, Math.ceil(likely / LANE.likely))
    const step = pace.apart * LANE.likely
    const from = seq
    const lanes = await Promise.all(Array.from({ length: count }, async (_, index) => {
      const first = from + index * step
      return await readLane(link, { stream, subject, first, next: index === count - 1 ? first + 1 : first + step })
    }))
    const { found, isEnd } = joined(lanes, from)
    for (const message of found) {
      size += Buffer.byteLength(message.text)
      if (size > bytes && messages.length > 0) return { messages, isAll: false, isPart: true }
      messages.push(message)
      if (messages.length === most) return { messages, isAll: false, isPart: false }
    }
    if (isEnd) return { messages, isAll: true, isPart: false }
    // Two servers have answered that both take themselves for the leader, or an event has come meanwhile.
    if (found.length === 0) throw away()
    seq = found.at(-1)!.seq + 1
    pace.apart = Math.max(1, Math.round((seq - from) / found.length))
    pace.width = Math.min(LANES.most, pace.width * 2)
    if (performance.now() >= until) return { messages, isAll: false, isPart: true }
  }
  return { messages, isAll: false, isPart: false }
}

/** Joins lanes in their order, up to where one of them knows less than those behind it. */
function joined (lanes: readonly Lane[], from: number): Pick<Lane, 'found' | 'isEnd'> {
  const found: Kept[] = []
  let [next, isEnd] = [from, false]
  for (const lane of lanes) {
    for (const message of lane.found) {
      if (message.seq < next) continue
      if (isEnd) return { found, isEnd: false }
      found.push(message)
      next = message.seq + 1
    }
    if (lane.isCut) return { found, isEnd: false }
    isEnd ||= lane.isEnd
  }
  return { found, isEnd }
}

async function readLane (
  link: NatsLink,
  { stream, subject, first, next }: { stream: string, subject: string, first: number, next: number }
): Promise<Lane> {
  const found: Kept[] = []
  for (let seq = first; seq < next;) {
    if (found.length === LANE.most) return { found, isEnd: false, isCut: true }
    const query = { seq, next_by_subj: subject }
    const message = await link.attempt(() => link.jsm.streams.getMessage(stream, query))
    if (message === null) return { found, isEnd: true, isCut: false }
    found.push({
      subject: message.subject,
      seq: message.seq,
      time: message.time.getTime(),
      text: Buffer.from(message.data).toString()
    })
    seq = message.seq + 1
  }
  return { found, isEnd: false, isCut: false }
}
