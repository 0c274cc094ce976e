import { dataOf, type Part, type TextEnd } from '../../protocol/part.js'
import { isOffset } from '../../protocol/position.js'
import type { KeptText, TextWrite } from '../adapter.js'
import { checkData, checkVersion, decodeHead, Undecodable } from './decode.js'
import { isFields, parseJson } from './stored.js'

/** Where a stretch stands in its text, and in the order of the changes of its room. */
export type Stretch = Pick<Part, 'version' | 'begun' | 'from' | 'to'>

/** The lines of a stretch, as brokers carry and keep it: JSON has no raw line breaks. */
export interface StretchLines {
  readonly head: string
  /** JSON of the end; empty while the text grows. */
  readonly end: string
  readonly before: string
  readonly inside: string
}

export function linesOf ({ type, key, timestamp, part }: TextWrite): StretchLines {
  return {
    head: JSON.stringify({ t: type, s: timestamp, k: key }),
    end: part.end === undefined ? '' : JSON.stringify(part.end),
    before: part.before,
    inside: part.inside
  }
}

export function writeLines ({ head, end, before, inside }: StretchLines): string {
  return `${head}\n${end}\n${before}\n${inside}`
}

/** @throws Undecodable */
export function readLines (text: string): StretchLines {
  const lines = text.split('\n')
  const [head, end, before, inside] = lines
  if (lines.length !== 4) throw new Undecodable('a stretch of a text')
  return { head: head!, end: end!, before: before!, inside: inside! }
}

/**
 * Reads a stretch, or a whole text.
 *
 * @throws Undecodable
 */
export function decodeStretch (
  { head, end, before, inside }: StretchLines,
  { version, begun, from, to }: Stretch
): Omit<KeptText, 'age'> {
  const { t: type, s: timestamp, k: key } = decodeHead(head)
  if (key === undefined || !isOffset(from) || !isOffset(to) || to < from) throw new Undecodable('a stretch of a text')
  const isList = before.endsWith('[')
  const part: Part = {
    before,
    inside,
    isList,
    from,
    to,
    end: endOf(end),
    version: checkVersion(version),
    begun: checkVersion(begun)
  }
  checkData(dataOf(part))
  return { type, key, timestamp, part }
}

/** @throws Undecodable */
function endOf (text: string): TextEnd | undefined {
  if (text === '') return undefined
  const end = parseJson(text)
  if (end === 'done' || end === 'lost') return end
  if (!isFields(end) || typeof end.code !== 'string' || typeof end.message !== 'string') {
    throw new Undecodable('the end of a text')
  }
  return { code: end.code, message: end.message }
}
