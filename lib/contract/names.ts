/** Longest room name in bytes; names are ASCII, so also in characters. */
export const MAX_NAME = 255

const STATIC = /^(?!\.\.?$)[\w.~@:+=-]+$/
const PARAM = /^:[A-Za-z]\w*$/
/** Escaped control characters: people give no such names, and in logs and keys they do harm. */
const CONTROL = /%(?:[01][0-9a-f]|7f)/i
const UNESCAPED = /^[A-Za-z0-9_.!~*'()-]+$/

/** Whether `segment` is exactly what `encodeURIComponent` gives for some string, so that one room has one name. */
function isEncoded (segment: string): boolean {
  if (segment === '') return false
  if (UNESCAPED.test(segment)) return true
  if (CONTROL.test(segment)) return false
  try {
    return encodeURIComponent(decodeURIComponent(segment)) === segment
  } catch {
    return false
  }
}

export function isDots (segment: string): boolean {
  return segment === '.' || segment === '..'
}

/**
 * Whether `name` can be the name of a room at all, declared or not: 1..255 bytes, non-empty segments, each static or
 * encoded.
 */
export function isRoomName (name: string): boolean {
  if (name.length === 0 || name.length > MAX_NAME) return false
  return name.split('/').every((segment) => !isDots(segment) && (STATIC.test(segment) || isEncoded(segment)))
}

/** A name pattern such as `chat/:id`, split once. */
export interface Pattern {
  readonly source: string
  readonly segments: ReadonlyArray<{ readonly param: boolean, readonly value: string }>
  readonly params: readonly string[]
  /** the name of the params replaced by `:`, equal for two patterns that match the same names */
  readonly shape: string
}

/** What is wrong with a pattern, in words that are short because pages load them; `undefined` when nothing is. */
export function patternFault (source: string): string | undefined {
  if (typeof source !== 'string' || !source || source.length > MAX_NAME) {
    return `a room name is a non-empty string of at most ${MAX_NAME} characters, such as "chat/:id"`
  }
  const wrong = source.split('/').find((segment, index, all) => segment.startsWith(':')
    ? !PARAM.test(segment) || all.indexOf(segment) < index
    : !STATIC.test(segment))
  // A leading, a trailing or a doubled slash makes an empty segment.
  return wrong === ''
    ? `a slash too many in "${source}"`
    : wrong && `"${wrong}" in "${source}" is no segment: ${PARAM} that stands once, or without ":" in front ${STATIC}`
}

/** Splits a pattern that `patternFault` found nothing wrong with. */
export function parsePattern (source: string): Pattern {
  const segments = source.split('/').map((segment) => segment.startsWith(':')
    ? { param: true, value: segment.slice(1) }
    : { param: false, value: segment })
  return {
    source,
    segments,
    params: segments.filter((segment) => segment.param).map((segment) => segment.value),
    shape: segments.map((segment) => segment.param ? ':' : segment.value).join('/')
  }
}

/** The params of `name` under `pattern`, decoded; `undefined` when it does not match. */
export function matchPattern (pattern: Pattern, name: string): Record<string, string> | undefined {
  const parts = name.split('/')
  if (parts.length !== pattern.segments.length) return undefined
  const params: Record<string, string> = {}
  for (let i = 0; i < parts.length; i++) {
    const segment = pattern.segments[i]!
    const part = parts[i]!
    if (!segment.param) {
      if (segment.value !== part) return undefined
    } else {
      if (!isEncoded(part)) return undefined
      params[segment.value] = decodeURIComponent(part)
    }
  }
  return params
}
