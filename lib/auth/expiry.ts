import { DEFAULTS } from '../options/defaults.js'

/**
 * Whether a credential has reached its end, without the tolerance: whoever keeps it may no longer know it.
 *
 * @param exp Unix seconds
 */
export function hasEnded (exp: number | undefined): boolean { return exp !== undefined && exp * 1_000 <= Date.now() }

/**
 * Whether a credential has expired, with a tolerance for clocks that differ.
 *
 * @param exp Unix seconds, as in a JWT; absent for one that does not expire
 */
export function isExpired (exp: number | undefined): boolean {
  return exp !== undefined && exp * 1_000 + DEFAULTS.tolerance <= Date.now()
}
