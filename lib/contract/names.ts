/** Longest room name in bytes; names are ASCII, so also in characters. */
export const MAX_NAME = 255

const STATIC = /^[A-Za-z0-9._~@:+=-]+$/
const PARAM = /^[A-Za-z][A-Za-z0-9_]*$/
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

function isDots (segment: string): boolean {
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

/** What is wrong with a pattern, in words; `undefined` when nothing is. */
export function patternFault (source: string): string | undefined {
  if (typeof source !== 'string' || source === '') return 'a room name is a non-empty string such as "chat/:id"'
  if (source.length > MAX_NAME) return `the pattern is longer than ${MAX_NAME} characters`
  const seen = new Set<string>()
  for (const segment of source.split('/')) {
    if (segment === '') return `"${source}" has an empty segment; write it without leading, trailing or doubled "/"`
    if (isDots(segment)) return `"${source}" has a "${segment}" segment`
    if (segment.startsWith(':')) {
      const name = segment.slice(1)
      if (!PARAM.test(name)) {
        return `":${name}" in "${source}" is not a param name; use a letter, then letters, digits or _`
      }
      if (seen.has(name)) return `":${name}" stands twice in "${source}"`
      seen.add(name)
    } else if (!STATIC.test(segment)) {
      return `"${segment}" in "${source}" may hold only A-Z a-z 0-9 . _ ~ @ : + = -`
    }
  }
  return undefined
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
