import { newPace, readLeader } from './leader-reading.js'
import { away, type NatsLink } from './link.js'
import type { Life, NatsLives, NumberedPlan } from './lives.js'
import type { Kept, Page, Part } from './pages.js'

const NANOS = 1_000_000
/** Milliseconds after which the server deletes a consumer that is not read. */
const IDLE = 10_000

/**
 * Bounds of the first request, from which the size of the others is estimated: at most so many messages, as if each had
 * so many bytes.
 */
const FIRST = { most: 16, bytes: 16_384 }

/**
 * Reads messages of a stream. From a single server it reads through a consumer of its own, in one request, or a few
 * where bytes are bounded. In a cluster it reads from the leader of the stream: a consumer reads the copy of its own
 * server, which may for a while have other events, or the same ones under other numbers.
 */
export async function fetchAll (link: NatsLink, part: Part): Promise<Page> {
  return await (link.isClustered ? readLeader(link, part, batchOf) : readConsumer(link, part))
}

/** Messages that are in memory at a time while they are only counted. */
const COUNTED = 128

/** Bounds of one page of all: a page has the time of one request, of which reading it may take a quarter. */
const PAGE = { most: 1_000, bytes: 1_048_576 }

/**
 * Reads all messages of a subject from a number on.
 *
 * @param isWanted whether a message is returned: the others are not held until the last page is read
 * @returns the messages, the number of the last one, and the life of the stream in which they have their numbers
 * @throws Refusal `unavailable`, also when another life begins meanwhile
 */
export async function fetchEvery (
  { link, lives }: { readonly link: NatsLink, readonly lives: NatsLives },
  plan: NumberedPlan,
  subject: string,
  from: number,
  isWanted: (message: Kept) => boolean = () => true
): Promise<{ readonly messages: readonly Kept[], readonly last: number, readonly life: Life }> {
  const all: Kept[] = []
  const pace = newPace()
  let known: Life | undefined
  for (let start = from; ;) {
    const part = { stream: plan.name, subject, start, ...PAGE, patience: link.timeout / 4, pace }
    const { messages, isAll, life } = await lives.use(plan, async (opened) => {
      return { ...await fetchAll(link, part), life: opened.life }
    })
    if (life.epoch !== (known ?? life).epoch) throw away()
    known = life
    for (const message of messages) if (isWanted(message)) all.push(message)
    const last = messages.at(-1)?.seq ?? start - 1
    if (isAll || messages.length === 0) return { messages: all, last, life }
    start = last + 1
  }
}

/** Readings that may contradict themselves before the broker counts as unable to answer. */
export const READINGS = 3

/**
 * Reads all messages of a subject as they are now. In a cluster each answer may be of another server, and one that led
 * until now knows less: so what is read counts where the same server leads before and behind, with no less than this
 * node has seen, and nothing older than the reading is found behind its end.
 *
 * @throws Refusal `unavailable`, also where the answers go on contradicting each other
 */
export async function fetchCurrent (
  parts: { readonly link: NatsLink, readonly lives: NatsLives },
  plan: NumberedPlan,
  subject: string
): Promise<{ readonly messages: readonly Kept[], readonly life: Life }> {
  const { link, lives } = parts
  if (!link.isClustered) return await fetchEvery(parts, plan, subject, 1)
  for (let reading = 1; reading <= READINGS; reading++) {
    const begun = await lives.look(plan)
    const found = await fetchEvery(parts, plan, subject, 1)
    const query = { seq: found.last + 1, next_by_subj: subject }
    const [ended, next] = await Promise.all([
      lives.look(plan),
      lives.use(plan, () => link.jsm.streams.getMessage(plan.name, query))
    ])
    const isSame = ended.info.cluster?.leader === begun.info.cluster?.leader &&
      [begun, ended].every(({ life }) => life.epoch === found.life.epoch)
    const [before, after] = [begun.info.state.last_seq, ended.info.state.last_seq]
    // What came since the beginning is on its way to this node.
    if (isSame && after >= before && (next === null || next.seq > before)) return found
  }
  throw away()
}

async function readConsumer (
  link: NatsLink,
  { stream, subject, start, most, bytes = Number.POSITIVE_INFINITY }: Part
): Promise<Page> {
  return await link.attempt(async () => {
    const { name, pending } = await consumerOf(link, { stream, subject, start }, false)
    const count = Math.min(most, pending)
    const messages: Kept[] = []
    let size = 0
    while (messages.length < count && (messages.length === 0 || size <= bytes)) {
      const reader = await link.js.consumers.get(stream, name)
      const batch = batchOf(messages.length, size, count, bytes)
      const found = await reader.fetch({ max_messages: batch, expires: Math.max(1_000, link.timeout) })
      const end = messages.length + batch
      for await (const message of found) {
        size += message.data.length
        messages.push({
          subject: message.subject,
          seq: message.seq,
          time: message.time.getTime(),
          text: message.string()
        })
        if (messages.length === end) break
      }
      if (messages.length < end) break
    }
    // A consumer that is not read expires on its own, so this is not awaited.
    link.jsm.consumers.delete(stream, name).catch(() => {})
    const isPart = messages.length < count && size > bytes
    return { messages, isAll: messages.length >= pending, isPart }
  })
}

/**
 * Finds the number of the message at `index` among those of a subject, oldest first. Their contents are not
 * transferred, except in a cluster.
 */
export async function numberOf (
  link: NatsLink,
  { stream, subject, index }: Pick<Part, 'stream' | 'subject'> & { readonly index: number }
): Promise<number> {
  if (link.isClustered) {
    let seq = 0
    for (let left = index + 1; left > 0;) {
      const part = { stream, subject, start: seq + 1, most: Math.min(left, COUNTED) }
      const { messages, isAll } = await readLeader(link, part, batchOf)
      seq = messages.at(-1)?.seq ?? seq
      if (isAll) break
      left -= messages.length
    }
    return Math.max(1, seq)
  }
  return await link.attempt(async () => {
    const { name, pending } = await consumerOf(link, { stream, subject, start: 1 }, true)
    const count = Math.min(index + 1, pending)
    let seq = 1
    if (count > 0) {
      const reader = await link.js.consumers.get(stream, name)
      const found = await reader.fetch({ max_messages: count, expires: Math.max(1_000, link.timeout) })
      let read = 0
      for await (const message of found) {
        seq = message.seq
        if (++read === count) break
      }
    }
    link.jsm.consumers.delete(stream, name).catch(() => {})
    return seq
  })
}

/** As many messages as are likely to fit into the bytes that are left. */
function batchOf (read: number, size: number, count: number, bytes: number): number {
  if (bytes === Number.POSITIVE_INFINITY) return count
  const likely = read === 0
    ? Math.min(FIRST.most, Math.ceil(bytes / FIRST.bytes))
    : Math.ceil((bytes - size) * read / Math.max(size, 1))
  return Math.max(1, Math.min(likely, count - read))
}

async function consumerOf (
  link: NatsLink,
  { stream, subject, start }: Pick<Part, 'stream' | 'subject' | 'start'>,
  isBare: boolean
): Promise<{ name: string, pending: number }> {
  const { name, num_pending: pending } = await link.jsm.consumers.add(stream, {
    // The client has enums for these words, whose values it does not export as types.
    ack_policy: 'none' as never,
    deliver_policy: 'by_start_sequence' as never,
    opt_start_seq: start,
    filter_subject: subject,
    headers_only: isBare,
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: IDLE * NANOS
  })
  return { name, pending }
}
