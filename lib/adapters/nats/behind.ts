import { keyOf } from '../../protocol/key.js'
import { away, type NatsLink } from './link.js'
import { messageIdOf } from './once.js'

/** A message that is accepted only behind a certain one. */
export interface Change {
  readonly stream: string
  readonly subject: string
  readonly text: string
  /** Number of the last message of the subject; 0 where there must be none. */
  readonly last: number
  /** Names the subject in ids. */
  readonly key: string
  /** Subject of the same stream for a message that nobody reads. */
  readonly probe: string
}

/** Ids that are tried for one change. */
const IDS = 8

/**
 * Publishes a change, of which the server accepts one behind each message. The leader of several servers compares
 * before they agree on the order, and would accept two changes at once: so all changes behind one message have the same
 * id, and the second is a duplicate of the first.
 *
 * That counts only where the first is there. A leader may know the id of a change that the servers never agreed on,
 * because it stood still or was cut off, and would refuse all changes of the subject until it forgets, which takes
 * minutes. What it noted is settled once it accepts a later message: if the change is not there by then, it never will
 * be, and the next id is used, by all nodes alike.
 *
 * @returns the number of the change; `undefined` when another one was first
 * @throws Refusal `unavailable`; the error of the server for a conflict or a stream that is missing
 */
export async function publishBehind (
  link: Pick<NatsLink, 'attempt' | 'isClustered' | 'js' | 'jsm'>,
  { stream, subject, text, last, key, probe }: Change
): Promise<number | undefined> {
  const expect = { lastSubjectSequence: last }
  const isOtherFirst = async (): Promise<boolean> => {
    const query = { last_by_subj: subject }
    const newest = await link.attempt(() => link.jsm.streams.getMessage(stream, query))
    return (newest?.seq ?? 0) !== last
  }
  for (let id = 0; id < IDS; id++) {
    const name = id === 0 ? String(last) : keyOf(String(last), String(id))
    const named = link.isClustered ? { msgID: messageIdOf(key, name) } : {}
    const { seq, duplicate } = await link.attempt(() => link.js.publish(subject, text, { expect, ...named }))
    if (!duplicate) return seq
    if (await isOtherFirst()) return undefined
    await link.attempt(() => link.js.publish(probe, ''))
    if (await isOtherFirst()) return undefined
  }
  throw away()
}
