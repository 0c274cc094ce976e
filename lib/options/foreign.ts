import { show } from '../errors/explain.js'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import type { RealtimeOptions } from '../types/options.js'

/** What every adapter has; the rest is for what it can do besides. */
const ADAPTER = ['start', 'close', 'subscribe', 'unsubscribe', 'publish'] as const

/**
 * Checks options that are objects of others: an adapter, and what other plugins are given.
 *
 * @throws REALTIME_ERR_OPTIONS naming the path and the fix
 */
export function checkForeign ({ adapter, jwt, websocket }: RealtimeOptions): void {
  checkAdapter(adapter)
  checkObject(jwt, 'options.jwt', 'the options of @fastify/jwt, such as { secret }')
  checkObject(websocket, 'options.websocket', 'the options of @fastify/websocket')
  if (jwt !== undefined && !(jwt as { readonly secret?: unknown }).secret) {
    throw new REALTIME_ERR_OPTIONS('options.jwt.secret is missing: give the secret or key that your tokens are signed with')
  }
}

function checkAdapter (adapter: unknown): void {
  if (adapter === undefined) return
  if (typeof adapter === 'function') {
    throw new REALTIME_ERR_OPTIONS('options.adapter is a function that was not called: write redis(), not redis')
  }
  const missing = ADAPTER.filter((name) => typeof (adapter as Record<string, unknown> | null)?.[name] !== 'function')
  if (missing.length === 0) return
  throw new REALTIME_ERR_OPTIONS(
    `options.adapter is no adapter, got ${show(adapter)}, without ${missing.join(', ')}: give what redis(), nats(), cluster() or memory() returns, or leave it out`
  )
}

function checkObject (value: unknown, path: string, what: string): void {
  if (value === undefined || (typeof value === 'object' && value !== null && !Array.isArray(value))) return
  throw new REALTIME_ERR_OPTIONS(`${path} must be an object, ${what}, or be left out; got ${show(value)}`)
}
