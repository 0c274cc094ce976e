/**
 * Half of a surrogate pair: UTF-8 has no form for it, so that a broker would keep any of them as the same character.
 */
const HALF = /[\uD800-\uDFFF]/u
const PART = /[%\n\uD800-\uDFFF]/u
const PARTS = /[%\n\uD800-\uDFFF]/gu
/** What is escaped, and what would be read as an escape. */
const ILL = /[\uD800-\uDFFF]|%(?=u|25)/gu

function escape (char: string): string {
  return char === '%' ? '%25' : char === '\n' ? '%0A' : `%u${char.charCodeAt(0).toString(16).toUpperCase()}`
}

function part (text: string): string {
  return PART.test(text) ? text.replace(PARTS, escape) : text
}

/**
 * One key of several parts, whatever these hold: other parts, or another number of them, give another key, and a broker
 * that keeps it as UTF-8 keeps them apart as well. A part without `%` and line breaks stands in it as it is.
 */
export function keyOf (first: string, ...more: readonly string[]): string {
  let key = part(first)
  for (const each of more) key += `\n${part(each)}`
  return key
}

/** A key among those of other kinds, such as `user:ann`. `kind` is a word of ours, without `:`. */
export function keyOfKind (kind: string, first: string, ...more: readonly string[]): string {
  return `${kind}:${keyOf(first, ...more)}`
}

/**
 * The text itself where UTF-8 can say it, as all keys made here are; different texts stay different. For what others
 * hand to an adapter.
 */
export function wellFormed (text: string): string {
  return HALF.test(text) || text.includes('%') ? text.replace(ILL, escape) : text
}
