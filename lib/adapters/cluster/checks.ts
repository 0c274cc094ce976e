import { Undecodable } from '../broker/decode.js'
import { isFields } from '../broker/stored.js'

/** Characters of a text that names something. */
const MAX_NAME = 16_384

type Fields = Readonly<Record<string, unknown>>

/**
 * Readers of what comes by a channel, which another version of this package or another part of the application may have
 * written. `null` is what `undefined` becomes on its way. Each throws Undecodable.
 */
export function fieldsOf (value: unknown): Fields {
  if (!isFields(value)) throw new Undecodable('an object')
  return value
}

export function listOf (value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Undecodable('a list')
  return value as readonly unknown[]
}

export function textOf (value: unknown): string {
  if (typeof value !== 'string') throw new Undecodable('a text')
  return value
}

export function nameOf (value: unknown): string {
  const name = textOf(value)
  if (name.length > MAX_NAME) throw new Undecodable('a name')
  return name
}

export function numberOf (value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new Undecodable('a number')
  return value
}

/** Reads a bound or a duration, which may be `Infinity`: JSON has `null` for that. */
export function boundOf (value: unknown): number {
  return value === null || value === Number.POSITIVE_INFINITY ? Number.POSITIVE_INFINITY : numberOf(value)
}

export function flagOf (value: unknown): boolean {
  if (typeof value !== 'boolean') throw new Undecodable('a flag')
  return value
}

/** Reads what may be absent. */
export function maybe<T> (value: unknown, read: (value: unknown) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value)
}

/** Reads one of a closed set of words. */
export function wordOf<T extends string> (value: unknown, words: readonly T[]): T {
  const word = words.find((each) => each === value)
  if (word === undefined) throw new Undecodable('a word')
  return word
}
