import type { Violation } from '../protocol/validate.js'

/** For a message to people. */
export function describe (violations: readonly Violation[]): string {
  return violations.map(({ path, message }) => `${path === '' ? '/' : path}: ${message}`).join('; ')
}
