import { show, unknownKey } from '../errors/explain.js'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import { unreadable } from '../errors/unreadable.js'

type Fields = Readonly<Record<string, unknown>>

const NONE: Fields = Object.freeze({})

/** What a broadcast may say beside its event. */
export const BROADCAST_OPTIONS: readonly string[] = ['except', 'idempotencyKey']

/**
 * Reads the options of a call, which in JavaScript may be any value. A name that is misspelt would be left out, and the
 * call would do more than was meant.
 *
 * @throws REALTIME_ERR_OPTIONS
 */
export function callOptions (options: unknown, call: string, known: readonly string[]): Fields {
  if (options === undefined) return NONE
  if (typeof options !== 'object' || options === null) {
    throw new REALTIME_ERR_OPTIONS(`options of ${call} are an object`)
  }
  const fault = unreadable(options)
  if (fault !== undefined) throw new REALTIME_ERR_OPTIONS(`options of ${call} cannot be read: ${fault}; give a plain object`)
  const strange = unknownKey(options, known, `option of ${call}`)
  if (strange !== undefined) throw new REALTIME_ERR_OPTIONS(strange)
  return options as Fields
}

/** @throws REALTIME_ERR_OPTIONS */
export function stringOption (value: unknown, path: string): string | undefined {
  if (value !== undefined && typeof value !== 'string') {
    throw new REALTIME_ERR_OPTIONS(`${path} is a string, got ${typeof value}`)
  }
  return value
}

/** @throws REALTIME_ERR_OPTIONS */
export function signalOption (options: unknown): AbortSignal | undefined {
  const { signal } = callOptions(options, 'stream', ['signal'])
  if (signal === undefined || signal instanceof AbortSignal) return signal
  throw new REALTIME_ERR_OPTIONS('signal of stream is an AbortSignal')
}

/**
 * Checks a time that the application gives to a call. `Infinity` is one.
 *
 * @throws REALTIME_ERR_OPTIONS naming the path
 */
export function checkTime (value: unknown, path: string): number {
  if (typeof value !== 'number' || !(value >= 0)) {
    throw new REALTIME_ERR_OPTIONS(
      `${path} is milliseconds, 0 or more, got ${show(value)}`
    )
  }
  return value
}

/** The last moment that a date can name; every adapter can keep it. */
const LAST_DATE = 8.64e15

/**
 * Returns a moment that the application names in Unix milliseconds, as every adapter can keep it. `Infinity` is for
 * ever.
 *
 * @throws REALTIME_ERR_OPTIONS naming the path
 */
export function checkMoment (value: unknown, path: string): number {
  if (typeof value !== 'number' || Number.isNaN(value)) {
    throw new REALTIME_ERR_OPTIONS(
      `${path} is a time in Unix milliseconds, such as Date.now() + 60_000, or Infinity; got ${show(value)}`
    )
  }
  return Math.min(Math.max(0, Math.ceil(value)), LAST_DATE)
}

/**
 * Checks a number of things; `Infinity` stands for all of them.
 *
 * @throws REALTIME_ERR_OPTIONS naming the path
 */
export function checkCount (value: unknown, path: string): number {
  if (typeof value !== 'number' || value < 0 || (!Number.isInteger(value) && value !== Number.POSITIVE_INFINITY)) {
    throw new REALTIME_ERR_OPTIONS(
      `${path} is a whole number, 0 or more, got ${show(value)}`
    )
  }
  return value
}
