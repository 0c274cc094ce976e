import type { NatsLink } from './nats-link.js'

export interface Kept {
  readonly subject: string
  readonly seq: number
  /** Unix time in milliseconds, by the clock of the server */
  readonly time: number
  readonly text: string
}

const NANOS = 1_000_000
/** Milliseconds after which the server forgets a reader that nobody reads. */
const IDLE = 10_000

interface Page { messages: Kept[], isAll: boolean }

/**
 * Reads messages of a stream. From one server through a consumer of its own: one request however many they are. In a cluster one by one
 * from the server that leads the stream: a consumer reads the copy of its own server, and a copy may for a while have other events, or the
 * same under other numbers.
 */
export async function fetchAll (link: NatsLink, stream: string, subject: string, start: number, most: number): Promise<Page> {
  return await (link.isClustered ? readLeader(link, stream, subject, start, most) : readConsumer(link, stream, subject, start, most))
}

async function readLeader (link: NatsLink, stream: string, subject: string, start: number, most: number): Promise<Page> {
  const messages: Kept[] = []
  for (let seq = start; messages.length < most;) {
    const query = { seq, next_by_subj: subject }
    const found = await link.attempt(() => link.jsm.streams.getMessage(stream, query))
    if (found === null) return { messages, isAll: true }
    messages.push({ subject: found.subject, seq: found.seq, time: found.time.getTime(), text: Buffer.from(found.data).toString() })
    seq = found.seq + 1
  }
  return { messages, isAll: false }
}

async function readConsumer (link: NatsLink, stream: string, subject: string, start: number, most: number): Promise<Page> {
  return await link.attempt(async () => {
    const consumer = await link.jsm.consumers.add(stream, {
      ack_policy: 'none' as never,
      deliver_policy: 'by_start_sequence' as never,
      opt_start_seq: start,
      filter_subject: subject,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: IDLE * NANOS
    })
    const count = Math.min(most, consumer.num_pending)
    const messages: Kept[] = []
    if (count > 0) {
      const reader = await link.js.consumers.get(stream, consumer.name)
      const found = await reader.fetch({ max_messages: count, expires: Math.max(1_000, link.timeout) })
      for await (const message of found) {
        messages.push({ subject: message.subject, seq: message.seq, time: message.time.getTime(), text: message.string() })
        if (messages.length === count) break
      }
    }
    // Goes by itself when nobody reads it; nobody has to wait for that.
    link.jsm.consumers.delete(stream, consumer.name).catch(() => {})
    return { messages, isAll: messages.length >= consumer.num_pending }
  })
}
