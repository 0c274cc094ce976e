/**
 * A part of a schema with a compiled check of its own. A part that refers to itself is checked once for each value,
 * however many ways lead to that value.
 */
export interface Part<S> {
  schema: S | undefined
  check: ((value: unknown) => boolean) | undefined
  readonly seen: Map<object, boolean>
}

export function partOf<S> (schema?: S): Part<S> { return { schema, check: undefined, seen: new Map() } }

/** Whether a value fits a part, which is found out once for each value until the part forgets. */
export function within (part: Part<unknown>, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return part.check!(value)
  const known = part.seen.get(value)
  if (known !== undefined) return known
  const fits = part.check!(value)
  part.seen.set(value, fits)
  return fits
}

/**
 * Whether no two values are equal.
 *
 * @param texts of values in arrays of unique items, so that a value inside another one is not written again
 */
export function isUnique (values: readonly unknown[], texts: Map<object, string>): boolean {
  const seen = new Set<unknown>()
  for (const value of values) {
    // The prefix keeps a string apart from the text of an object.
    const text = typeof value === 'string'
      ? `"${value}`
      : typeof value === 'object' && value !== null ? canonical(value, texts) : value
    if (seen.has(text)) return false
    seen.add(text)
  }
  return true
}

/** Writes equal values as the same text, whatever the order of their properties. */
function canonical (value: unknown, texts: Map<object, string>): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'undefined'
  const known = texts.get(value)
  if (known !== undefined) return known
  const text = Array.isArray(value)
    ? `[${value.map((each) => canonical(each, texts)).join(',')}]`
    : `{${Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}:${canonical(each, texts)}`).sort().join(',')}}`
  texts.set(value, text)
  return text
}
