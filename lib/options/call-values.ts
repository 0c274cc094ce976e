import { show } from '../errors/explain.js'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'

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
