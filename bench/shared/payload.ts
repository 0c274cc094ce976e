import { moment } from './moment.js'

/** Digits of a timestamp: microseconds of the clock that the processes share. */
export const TIMESTAMP = 16
/** What stands in each event once, before its timestamp. */
export const KEY = '"at":"'

const WORDS = 'order shipped to the customer from warehouse seven after payment was captured and the parcel had been weighed labelled scanned sorted and handed over at gate four by the night crew'.split(' ')

export interface EventData { readonly at: string, readonly text: string }

/** Prose that compresses about as well as an application's JSON does. */
function prose (length: number): string {
  let text = ''
  for (let i = 0, seed = 7; text.length < length; i++) {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    text += `${WORDS[seed % WORDS.length]!}${seed % 10 === 0 ? ` #${seed % 100_000}` : ''} `
  }
  return text.slice(0, length)
}

function now (): string { return String(moment()).padStart(TIMESTAMP, '0') }

function textFor (bytes: number): string {
  return prose(bytes - JSON.stringify({ at: now(), text: '' }).length)
}

const SHORT = textFor(100)
const LONG = textFor(760)

/** The data of one event: 100 bytes of JSON, or 760. */
export function eventData (isLong: boolean): EventData {
  return { at: now(), text: isLong ? LONG : SHORT }
}

/** Microseconds for which no event of a benchmark is under way. */
const NEVER = 600_000_000

/**
 * Microseconds since the event in this frame was made; `undefined` where it is another frame, such as one of presence.
 *
 * @throws Error for what is no age, since a figure of it would be none
 */
export function age (payload: Buffer): number | undefined {
  const key = payload.indexOf(KEY, 0, 'latin1')
  if (key === -1) return undefined
  const at = key + KEY.length
  const made = Number(payload.toString('latin1', at, at + TIMESTAMP))
  const age = moment() - made
  if (age >= 0 && age < NEVER) return age
  throw new Error(`an event of ${made} \u00B5s has an age of ${age} \u00B5s: the clocks of the two processes differ`)
}

/** Frames with a shorter payload are no events: acks and pings of all peers are shorter, events longer. */
export const SHORTEST_EVENT = 90
