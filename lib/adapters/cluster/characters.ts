/** Characters that each part of a value takes beside its texts. */
const EACH = 8

/**
 * Characters that a value takes on its way, about. It counts no more than it has to look at: a long text costs as much
 * as a short one, where its JSON would be another copy of what may be waiting in great numbers.
 */
export function charactersOf (value: unknown): number {
  if (typeof value === 'string') return value.length + EACH
  if (typeof value !== 'object' || value === null) return EACH
  let sum = EACH
  if (Array.isArray(value)) {
    for (const part of value as readonly unknown[]) sum += charactersOf(part)
    return sum
  }
  const fields = value as Readonly<Record<string, unknown>>
  for (const name of Object.keys(fields)) sum += name.length + charactersOf(fields[name])
  return sum
}
