/** UTF-8 cannot encode half of a surrogate pair, so a broker would store all of them as the same character. */
const HALF = /[\uD800-\uDFFF]/u
const PART = /[%\n\uD800-\uDFFF]/u
const PARTS = /[%\n\uD800-\uDFFF]/gu
/** The characters to escape, and each `%` that would be read as the start of an escape. */
const ILL = /[\uD800-\uDFFF]|%(?=u|25)/gu

function escape (char: string): string {
  return char === '%' ? '%25' : char === '\n' ? '%0A' : `%u${char.charCodeAt(0).toString(16).toUpperCase()}`
}

function part (text: string): string {
  return PART.test(text) ? text.replace(PARTS, escape) : text
}

/**
 * Makes one key of several parts, whatever they contain. Other parts, or another number of them, give another key, also
 * in a broker that stores it as UTF-8. A part without `%`, line breaks and halves of surrogate pairs stands in the key
 * unchanged.
 */
export function keyOf (first: string, ...more: readonly string[]): string {
  let key = part(first)
  for (const each of more) key += `\n${part(each)}`
  return key
}

/** Returns the text of which `keyOf` has made a key of one part. */
export function textOf (key: string): string {
  return key.replaceAll(/%(25|0A|u[0-9A-F]{4})/g, (_, code: string) => {
    return String.fromCharCode(Number.parseInt(code.replace('u', ''), 16))
  })
}

/**
 * Makes a key that shares a name space with keys of other kinds, such as `user:ann`. `kind` is a constant word without
 * `:`.
 */
export function keyOfKind (kind: string, first: string, ...more: readonly string[]): string {
  return `${kind}:${keyOf(first, ...more)}`
}

/**
 * Escapes halves of surrogate pairs and each `%` that would be read as the start of an escape; every other text stays
 * as it is, and different texts stay different. It is for names that others hand to an adapter.
 */
export function wellFormed (text: string): string {
  return HALF.test(text) || text.includes('%') ? text.replace(ILL, escape) : text
}
