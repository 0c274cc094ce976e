import { Refusal } from '../errors/refusal.js'
import { parseJson } from '../protocol/json.js'
import type { Turns } from '../structures/turns.js'

/** Events of one request. */
export const MAX_ITEMS = 1_000

const QUOTE = 0x22
const COMMA = 0x2c
const END = 0x5d

/** What a request asks to publish: one thing, or a list. Things that are too long to be right are not parsed. */
export interface Items {
  readonly isList: boolean
  readonly items: ReadonlyArray<{ readonly value: unknown } | Refusal>
}

function isOpening (char: number): boolean { return char === 0x7b || char === 0x5b }
function isClosing (char: number): boolean { return char === 0x7d || char === 0x5d }

/** The index of the quote that ends the string which begins at `from`. */
function endOfString (text: string, from: number): number {
  for (let end = text.indexOf('"', from + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === 0x5c) slashes++
    if (slashes % 2 === 0) return end
  }
  return text.length
}

/** Cuts the text of an array into those of its items, without a look into them. */
function * cut (text: string): Generator<string> {
  let depth = 0
  let from = text.indexOf('[') + 1
  for (let i = from - 1; i < text.length; i++) {
    const char = text.charCodeAt(i)
    if (char === QUOTE) i = endOfString(text, i)
    else if (isOpening(char)) depth++
    else if (isClosing(char) && --depth === 0) {
      // Brackets within an item are looked at by the parser; this one is none of an item.
      if (char !== END) break
      yield text.slice(from, i)
      if (text.slice(i + 1).trim() !== '') throw new Error('something follows the array')
      return
    } else if (char === COMMA && depth === 1) {
      yield text.slice(from, i)
      from = i + 1
    }
  }
  throw new Error('the array has no end')
}

/**
 * Parses the body of a publication. A list is parsed thing by thing, in turns: a whole mebibyte at once would hold up
 * everybody else for longer than anything else that the node does.
 *
 * @param longest characters of one thing; a longer one is refused by itself
 * @throws Refusal `invalid_message` for what is no JSON, and for no events at all; `message_too_large` for too many
 */
export async function itemsOf (text: string, longest: number, turns: Turns): Promise<Items> {
  const isList = /^\s*\[/.test(text)
  if (/^\s*\[\s*\]\s*$/.test(text)) throw new Refusal('invalid_message', { message: 'the list holds no event' })
  const items: Array<{ value: unknown } | Refusal> = []
  try {
    for (const part of isList ? cut(text) : [text]) {
      if (items.length === MAX_ITEMS) {
        throw new Refusal('message_too_large', {
          message: `a request has at most ${MAX_ITEMS} events`,
          why: { fix: 'no option raises it: send several requests' }
        })
      }
      const rest = turns.step()
      if (rest instanceof Promise) await rest
      if (part.length > longest) items.push(new Refusal('message_too_large', { message: 'the event is too large' }))
      else items.push({ value: parseJson(part) })
    }
  } catch (error) {
    if (error instanceof Refusal) throw error
    const where = isList ? ` (item ${items.length})` : ''
    throw new Refusal('invalid_message', { message: `not acceptable JSON${where}: ${(error as Error).message}` })
  }
  return { isList, items }
}
