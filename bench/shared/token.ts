import { createHmac } from 'node:crypto'

export const SECRET = 'a secret of the benchmark, known to all servers'

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const HEAD = encode({ alg: 'HS256', typ: 'JWT' })

/** A credential of its own for each client, as users have. */
export function tokenOf (client: number): string {
  const now = Math.floor(Date.now() / 1_000)
  const body = `${HEAD}.${encode({ sub: `user-${client}`, iat: now, exp: now + 3_600 })}`
  return `${body}.${createHmac('sha256', SECRET).update(body).digest('base64url')}`
}
