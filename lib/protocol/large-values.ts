import { pointer } from './checker.js'
import type { Finding } from './json-checker.js'
import { isRecord, type Json } from './json-references.js'
import type { Schema } from './json-schema.js'

/**
 * A checker that tries the parts of a value against the parts of a schema lists what is wrong as long as their product
 * stays within this bound, which takes some milliseconds.
 */
export const LISTED = 10_000

/** Counts the parts of a value, and stops once there are more than `most`. */
export function weigh (value: unknown, most: number): number {
  // Not by recursion: a value may be deep, or within itself.
  const left = [value]
  let sum = 0
  while (left.length > 0 && sum <= most) {
    const part = left.pop()
    sum++
    if (typeof part !== 'object' || part === null) continue
    for (const each of Object.values(part) as unknown[]) left.push(each)
  }
  return sum
}

/** How the parts of a large value are checked and looked at. */
export interface Parts {
  fits (schema: Schema, value: unknown): boolean
  /** Which tests of this library the value fails by itself. */
  failed (schema: Schema, value: unknown): Iterable<Finding>
  /** What is wrong with a part that does not fit. */
  findings (schema: Schema, value: unknown): Iterable<Finding>
}

/**
 * Finds what is wrong with a value that is too large to be listed: it descends into the parts that do not fit, as long
 * as the schema leaves only one way to read a part.
 */
export function * descend (schema: Schema, value: unknown, { fits, failed, findings }: Parts): Generator<Finding> {
  let isTold = false
  for (const [part, each, path] of partsOf(schema, value)) {
    if (fits(part, each)) continue
    isTold = true
    for (const finding of findings(part, each)) yield { ...finding, path: path + finding.path }
  }
  for (const finding of failed(schema, value)) {
    isTold = true
    yield finding
  }
  if (!isTold) yield { path: '', message: 'must be a value that fits; it is too large to say more' }
}

function * partsOf (schema: Schema, value: unknown): Generator<[schema: Schema, value: unknown, path: string]> {
  if (!isRecord(schema)) return
  const { items, properties, allOf } = schema as { items?: Schema, properties?: Json, allOf?: Schema[] }
  if (Array.isArray(value) && items !== undefined && schema.prefixItems === undefined) {
    for (const [index, each] of value.entries()) yield [items, each, pointer('', index)]
  }
  if (isRecord(value)) {
    for (const [name, property] of Object.entries(properties ?? {})) {
      if (Object.hasOwn(value, name)) yield [property as Schema, value[name], pointer('', name)]
    }
  }
  for (const each of allOf ?? []) yield [each, value, '']
}
