import type { Violation } from '../protocol/checker.js'

/** Describes violations for a message to people. */
export function describe (violations: readonly Violation[]): string {
  return violations.map(({ path, message }) => `${path === '' ? '/' : path}: ${message}`).join('; ')
}
