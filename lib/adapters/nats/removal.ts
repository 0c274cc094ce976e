import { Late, within } from '../broker/patience.js'
import { isConflict, type NatsLink } from './link.js'
import { Refusal } from '../../errors/refusal.js'
import { messageIdOf } from './once.js'

export interface Removal {
  /** Subject of the value, and the one to which the server forwards what it accepts there. */
  readonly subject: string
  readonly forwarded: string
  readonly text: string
  /** Milliseconds to wait for the answer. */
  readonly patience: number
  /** Number of the value that is removed. */
  readonly known: number
  /** Id of the message, where it has one. */
  readonly msgID?: string | undefined
}

/** What the server has forwarded: its number, and that of the message of the subject before it. */
interface Forwarded { readonly seq: number, readonly last: number, readonly text: string }

export interface Removed {
  readonly seq: number
  /** Whether the removal was known already, or another value was there, and is again. */
  readonly isVain: boolean
}

/** Milliseconds within which an accepted message is forwarded. */
const ECHO = 1_000

/** A removal has met another value, which could not be put back: that the removal is there is no success. */
export class NotPutBack extends Refusal {
  constructor () { super('unavailable', { retryAfter: 1_000, outcome: 'unknown' }) }
}

/**
 * Removes a value if it is the newest of its subject. The leader of several servers compares before they agree on the
 * order, so a value that is set at that moment may come between the two, and would be removed unseen. What the server
 * forwards tells which value a removal has met: another one is put back behind it, unless a newer one is there by then.
 *
 * @throws Refusal `unavailable`, with the outcome `unknown` where what is removed may be gone; the error of the server
 *   for a conflict or a stream that is missing
 */
export async function removeValue (
  link: Pick<NatsLink, 'flush' | 'insist' | 'listen' | 'publish'>,
  { subject, forwarded, text, known, patience, msgID }: Removal
): Promise<Removed> {
  const seen: Forwarded[] = []
  let heard: () => void = () => {}
  const subscription = link.listen(forwarded, (message) => {
    const [seq, last] = ['Nats-Sequence', 'Nats-Last-Sequence'].map((name) => Number(message.headers?.get(name)))
    seen.push({ seq: seq!, last: last!, text: message.string() })
    heard()
  })
  try {
    await link.flush()
    const expect = { lastSubjectSequence: known }
    const { seq, duplicate } = await link.publish(subject, text, {
      expect,
      timeout: patience,
      ...(msgID === undefined ? {} : { msgID })
    })
    if (duplicate) return { seq, isVain: true }
    const own = (): Forwarded | undefined => seen.find((each) => each.seq === seq)
    if (own() === undefined) {
      await within(new Promise<void>((resolve) => {
        heard = () => { if (own() !== undefined) resolve() }
      }), ECHO).catch((error: unknown) => { if (!(error instanceof Late)) throw error })
    }
    const met = seen.find((each) => each.seq === own()?.last)
    if (met === undefined) return { seq, isVain: false }
    await link.insist('change', async () => await link.publish(subject, met.text, {
      expect: { lastSubjectSequence: seq },
      msgID: messageIdOf(subject, String(seq))
    })).catch((error: unknown) => {
      // By now the removal is there, whatever has kept the value from being put back.
      if (!isConflict(error)) throw new NotPutBack()
    })
    return { seq, isVain: true }
  } finally {
    subscription.unsubscribe()
  }
}
