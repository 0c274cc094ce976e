import { hash } from 'node:crypto'
import type { Publication } from '../adapters/adapter.js'
import { keyOf } from '../protocol/key.js'

/** What becomes of a `latest` value: the data that it is set to, none where it is removed. */
export interface Change { readonly key: string | undefined, readonly data?: string }

/**
 * One run of the handler of a message. It names what the handler publishes, so that another run of the same message
 * names the same things alike and adds no second event. The other run may publish less, because the first one has done
 * a part, and with other data, such as a time.
 *
 * - An event is told apart by its name and by its number among the events of that name.
 * - A change of a `latest` value is told apart by what the value becomes too. A value that is set to something else
 *   has to be shown, or the room would show for ever what is over; one that is set twice harms nobody.
 */
export class MessageRun {
  readonly #userId: string
  readonly #messageId: string
  readonly #counts = new Map<string, number>()

  constructor (userId: string, messageId: string) {
    this.#userId = userId
    this.#messageId = messageId
  }

  /** Names the next publication. No single text can equal the key, which has three or four parts. */
  next (type: string, value: Change | undefined): Required<Pick<Publication, 'idempotencyKey' | 'message'>> {
    const subject = value === undefined ? keyOf(type) : keyOf(type, value.key ?? '')
    const n = (this.#counts.get(subject) ?? 0) + 1
    this.#counts.set(subject, n)
    const more = value !== undefined ? [shortOf(value, n)] : n > 1 ? [String(n)] : []
    return {
      idempotencyKey: keyOf(this.#userId, this.#messageId, type, ...more),
      message: { claim: keyOf(this.#userId, this.#messageId), part: keyOf(type, ...more) }
    }
  }
}

/** A broker keeps the key, so that it must not be as long as the value. */
function shortOf ({ key = '', data }: Change, n: number): string {
  return hash('sha1', keyOf(key, String(n), ...(data === undefined ? [] : [data])), 'base64')
}
