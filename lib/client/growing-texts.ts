import type { KnownText, TextEnd } from '../protocol/part.js'
import { checkOf } from '../protocol/text-check.js'
import { failure, refused } from './errors.js'
import { follow, type Ending } from './event-iterator.js'
import type { Listeners } from './listeners.js'
import type { Frame } from './links/link.js'
import { setNewest } from './newest.js'

type Whole = string | unknown[]

interface Text {
  readonly event: string
  readonly key: string
  /** Name of what grows in the data. */
  readonly property: string
  whole: Whole
  /** The frame that brought its last part. */
  last: Frame
  end?: TextEnd | undefined
  /** Frames behind a hole, until the whole text is here; absent where it was not asked for. */
  later?: Frame[] | undefined
}

export type Failed = () => Frame

export interface GrowingTexts {
  /** @returns the event for the listeners; nothing for a frame behind a hole, and for what is known */
  frame (frame: Frame): object[]
  /** What this client has of the texts that changed last, of 16 unless a number is given. */
  known (most?: number): KnownText[] | undefined
  /** @returns the events of which texts grow */
  growing (): string[]
  /** @returns each text whole, as the server sends it to who has nothing of it */
  wholes (): Frame[]
  parts (event: string, key: string, on: Listeners['on'], room: Ending): AsyncIterable<Whole>
}

/** Texts of one room that are kept, the one that changed longest ago out first. */
const MAX = 1_000
/** Texts that a room names at most, as the server takes. */
export const NAMED = 16

const begins = (whole: Whole, part: Whole): boolean =>
  whole.length >= part.length && JSON.stringify(whole.slice(0, part.length)) === JSON.stringify(part)

const wholeOf = ({ last, whole, property }: Text): Frame =>
  ({ ...last, data: { ...last.data, [property]: whole }, from: 0, id: undefined }) as Frame

/**
 * Puts the texts of a room together. A frame says what it continues: what is before `from` is kept, and its part put
 * behind that. Where something is missing, the whole is asked for.
 *
 * @param read asks for a text until it is there, and calls back when it is refused for good, or the link ends: then it
 *   is given the frame that says that the text is lost
 */
export function createGrowingTexts (read: (data: object, failed: Failed) => void): GrowingTexts {
  const texts = new Map<string, Text>()

  const put = (frame: Frame): object[] => {
    const { type, from, end, timestamp } = frame
    const data = frame.data as Record<string, unknown>
    // The key is the first property of the data, and what grows the last one.
    const names = Object.keys(data)
    const key = String(data[names[0]!])
    const property = names.pop()!
    const part = data[property] as Whole
    const name = `${type} ${key}`
    const former = texts.get(name)
    const later = former?.later
    // Strings and lists have the same methods.
    const begin = (): Text => ({ event: type, key, property, whole: part.slice(0, 0), last: frame })
    // A text under the key of one that has ended is another one, and who still reads that one has it to its end.
    let text = !former || (former.end && !end && !from) ? begin() : former
    const { whole } = text
    let next = (whole.slice(0, from) as unknown[]).concat(part) as Whole
    // The server has lost the rest of it, which its writer writes again.
    if (!end && begins(whole, next)) next = whole
    // Where what comes was here already, only the rest of it is new.
    const isMore = from! >= whole.length || begins(next, whole)
    if (!isMore) {
      // Whoever reads the former one must not take this one for the rest of it.
      text.end ??= 'lost'
      text = begin()
    }
    setNewest(texts, name, text, MAX)
    if (from! > whole.length) {
      if (later) later.push(frame)
      else {
        text.later = [frame]
        read({ event: type, key }, () => {
          text.later = undefined
          // Its end may be among what waited. A text without some of its parts is not done.
          return { ...wholeOf(text), end: 'lost' }
        })
      }
      return []
    }
    // One that has begun and is empty is news, too.
    const isKnown = text === former && next.length === whole.length && !end === !text.end
    text.whole = next
    text.end = end
    text.last = frame
    text.later = undefined
    const added = isMore ? next.slice(whole.length) : part
    return [
      ...isKnown ? [] : [{ type, data: { ...data, [property]: next }, added, timestamp, ...(end && { end }) }],
      // What came behind a hole and is not in the whole follows it.
      ...(later ?? []).flatMap((each) => each.from! >= next.length ? put(each) : [])
    ]
  }

  return {
    frame: put,
    known: (most = NAMED) => texts.size && most
      ? [...texts.values()].slice(-most).map(({ event, key, whole, end }) =>
          [event, key, whole.length, checkOf(whole), end && 1])
      : undefined,
    growing: () => [...texts.values()].filter(({ end }) => !end).map(({ event }) => event),
    wholes: () => [...texts.values()].map(wholeOf),
    parts (event, key, on, room) {
      let length = 0
      let text: Text | undefined
      return follow(on, event, room, () => {
        if (!text?.end) text = texts.get(`${event} ${key}`)
        const { whole = '', end } = text ?? {}
        const part = whole.slice(length)
        length += part.length
        if (part.length) return part
        if (!end) return undefined
        if (end === 'done') return null
        throw failure(end === 'lost' ? refused(end, 'its writer is gone') : refused(end.code, end.message))
      })
    }
  }
}
