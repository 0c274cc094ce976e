import type { Retry } from './codes.js'

/**
 * Tells what a client may do after a close code. It follows the rules behind the table of codes, so that a page need
 * not load the table.
 */
export function retryOfClose (close: number): Retry {
  if (close === 4401) return 'refresh'
  if (close === 1001 || close === 4408) return 'now'
  return close === 1009 || (close >= 4500 && close < 4600) ? 'never' : 'backoff'
}
