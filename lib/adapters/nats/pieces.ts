import { Refusal } from '../../errors/refusal.js'
import { insideOf, type Part } from '../../protocol/part.js'

/** A stretch that goes into one message. */
export type Piece = Pick<Part, 'inside' | 'from' | 'to'>

/** Bytes that JSON needs for a character at most: an escape. */
const ESCAPE = 6

/**
 * Cuts a stretch into pieces that follow each other, none of which has more bytes than a message takes.
 *
 * @param most bytes of the inside of one piece
 * @throws Refusal `message_too_large` for an item that fits into no message
 */
export function piecesOf ({ inside, from, to, isList }: Omit<Part, 'version' | 'begun'>, most: number): Piece[] {
  if (Buffer.byteLength(inside) <= most) return [{ inside, from, to }]
  const insides = isList ? cutList(inside, most) : cutText(inside, most)
  let end = from
  return insides.map(([inside, length]) => {
    const start = end
    end += length
    return { inside, from: start, to: end }
  })
}

type Cut = readonly [inside: string, length: number]

function cutText (inside: string, most: number): Cut[] {
  const text = JSON.parse(`"${inside}"`) as string
  const size = Math.floor(most / ESCAPE)
  if (size < 1) throw tooLarge(ESCAPE, most)
  const cuts: Cut[] = []
  for (let start = 0; start < text.length; start += size) {
    const part = text.slice(start, start + size)
    cuts.push([insideOf(part), part.length])
  }
  return cuts
}

function cutList (inside: string, most: number): Cut[] {
  const cuts: Cut[] = []
  let items: string[] = []
  let bytes = 0
  for (const item of JSON.parse(`[${inside}]`) as unknown[]) {
    const json = JSON.stringify(item)
    const size = Buffer.byteLength(json)
    if (size > most) throw tooLarge(size, most)
    if (items.length > 0 && bytes + items.length + size > most) {
      cuts.push([items.join(','), items.length])
      items = []
      bytes = 0
    }
    items.push(json)
    bytes += size
  }
  cuts.push([items.join(','), items.length])
  return cuts
}

function tooLarge (bytes: number, most: number): Refusal {
  return new Refusal('message_too_large', {
    message: `${bytes} bytes of a text do not fit into a message to NATS, which takes ${most}: raise its max_payload`
  })
}
