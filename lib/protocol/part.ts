import { checkOf } from './text-check.js'

/** How a text ended: it is whole (`done`), its writer has gone without a word (`lost`), or something went wrong. */
export type TextEnd = 'done' | 'lost' | {
  /** What went wrong. */
  readonly code: string
  /** The same for a person. */
  readonly message: string
}

/**
 * A stretch of a text that grows, and what a text is while it is kept: the stretch from 0. It holds the inside of the
 * text's JSON, of a string what stands between its quotes and of a list what stands between its brackets. So stretches
 * are joined without being parsed.
 */
export interface Part {
  /** JSON of the event's data up to the inside: its key first, and the property that grows last. */
  readonly before: string
  /** The inside of the JSON. */
  readonly inside: string
  /** Whether the text is a list of items and not a string. */
  readonly isList: boolean
  /** Length of the text before this stretch, in UTF-16 code units or items. */
  readonly from: number
  /** Length of the text behind this stretch. */
  readonly to: number
  /** Set when the text has ended. */
  readonly end?: TextEnd | undefined
  /** Order among all changes of the texts of a room. */
  readonly version: number
  /** Version with which the text began: another text under the same key has another. */
  readonly begun: number
}

/** Makes the JSON of an event's data up to the inside of the text. */
export function beforeOf (
  head: Readonly<Record<string, unknown>>,
  key: string,
  append: string,
  isList: boolean
): string {
  const json = JSON.stringify({ [key]: head[key], ...head, [append]: undefined })
  return `${json.slice(0, -1)},${JSON.stringify(append)}:${isList ? '[' : '"'}`
}

/** The JSON of an event's data. */
export function dataOf ({ before, inside, isList }: Part): string { return `${before}${inside}${isList ? ']}' : '"}'}` }

/** The inside of the JSON of a text. */
export function insideOf (text: string | readonly unknown[]): string { return JSON.stringify(text).slice(1, -1) }

export function joined (inside: string, more: string, isList: boolean): string {
  return isList && inside !== '' && more !== '' ? `${inside},${more}` : inside + more
}

function textOf ({ inside, isList }: Part): string | unknown[] {
  return JSON.parse(isList ? `[${inside}]` : `"${inside}"`) as string | unknown[]
}

/** What is left of a text that gave way: where it stands, and nothing of the text. */
export function markOf (part: Part): Part { return { ...part, from: part.to, inside: '' } }

export function isMark ({ from }: Part): boolean { return from > 0 }

/**
 * Makes the text that a stretch leaves, or the mark where no more is known of it.
 *
 * @param whole what is known of it, or its mark
 * @returns the same when the stretch is known already, `undefined` when something before it is missing
 */
export function grown (whole: Part | undefined, part: Part): Part | undefined {
  if (whole !== undefined && part.version <= whole.version) {
    return isMark(whole) && part.from === 0 && part.version === whole.version ? part : whole
  }
  if (part.from === 0) return part
  if (whole === undefined || whole.begun !== part.begun || whole.to !== part.from) return undefined
  if (isMark(whole)) return markOf(part)
  return { ...part, from: 0, inside: joined(whole.inside, part.inside, part.isList) }
}

/** The rest of a text from a length on. */
export function restOf (whole: Part, from: number): Part {
  if (from === 0) return whole
  return { ...whole, from, inside: from === whole.to ? '' : insideOf(textOf(whole).slice(from)) }
}

/** Joins stretches of one text that follow each other. */
export function gathered (parts: readonly Part[]): Part {
  const inside = parts.reduce((sum, part) => joined(sum, part.inside, part.isList), '')
  return { ...parts.at(-1)!, from: parts[0]!.from, inside }
}

/**
 * What a client says that it has of a text: event, key, length, a check of the end of that, and 1 when it knows that
 * the text has ended.
 */
export type KnownText = readonly [event: string, key: string, length: number, check: number, end?: 1 | undefined]

/** Whether the text begins with what a client has of it, as far as the check tells. */
export function startsWith (whole: Part, [, , length, check]: KnownText): boolean {
  return length <= whole.to && checkOf(textOf(whole), length) === check
}
