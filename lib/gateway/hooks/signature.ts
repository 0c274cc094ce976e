import { createHmac } from 'node:crypto'

/** The scheme of Standard Webhooks 1.0: HMAC SHA-256 over `<id>.<timestamp>.<body>`. */
const PREFIX = 'whsec_'
const LEAST = 24
const MOST = 64

/** Reads a secret as it is written. @returns the key, or what is wrong with it */
export function readKey (secret: string): Buffer | string {
  const fix = `make one by: echo "${PREFIX}$(openssl rand -base64 32)"`
  if (!secret.startsWith(PREFIX)) return `is no secret of Standard Webhooks, which begins with ${PREFIX}; ${fix}`
  const text = secret.slice(PREFIX.length)
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return `is not base64 behind ${PREFIX}; ${fix}`
  const key = Buffer.from(text, 'base64')
  if (key.length < LEAST) return `is too short: it has ${key.length} bytes and needs ${LEAST} at least; ${fix}`
  return key.length > MOST ? `is too long: it has ${key.length} bytes of at most ${MOST}; ${fix}` : key
}

/** The headers that prove who has sent a body, and that it is as it was sent. */
export function signedHeaders (
  id: string, seconds: number, body: string, keys: readonly Buffer[]
): Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string> {
  const timestamp = String(seconds)
  const signatures = keys.map((key) => {
    const hmac = createHmac('sha256', key).update(id).update('.').update(timestamp).update('.').update(body)
    return `v1,${hmac.digest('base64')}`
  })
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') }
}
