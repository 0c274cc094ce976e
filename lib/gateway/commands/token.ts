import type { GatewaySettings } from '../config/resolve.js'
import { CliError } from './cli-error.js'

/** Makes a token for trying a gateway whose config has a secret. */
export async function token (
  [user]: readonly string[],
  { claims, expires = '3600' }: { readonly claims?: string | undefined, readonly expires?: string | undefined },
  { verification }: GatewaySettings
): Promise<string> {
  if (user === undefined || user === '') throw new CliError('name the user, such as: token ada')
  const seconds = Number(expires)
  if (!Number.isInteger(seconds) || seconds < 1) throw new CliError('--expires is a number of seconds')
  if (verification.kind !== 'secret') throw new CliError('tokens can only be made where the config has jwt.secret; yours come from whoever has the private key')
  const { SignJWT } = await import('jose')
  const { issuer, audience, algorithms: [alg] = ['HS256'], key } = verification
  const jwt = new SignJWT({ ...parsed(claims), sub: user }).setProtectedHeader({ alg: alg! }).setIssuedAt()
    .setExpirationTime(`${seconds} s`)
  if (issuer !== undefined) jwt.setIssuer(issuer)
  if (audience !== undefined) jwt.setAudience(audience)
  return await jwt.sign(new TextEncoder().encode(key))
}

function parsed (claims: string | undefined): object {
  if (claims === undefined) return {}
  try {
    const value: unknown = JSON.parse(claims)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch { /* It is no JSON at all. */ }
  throw new CliError('--claims is a JSON object, such as \'{"rooms":["chat/*"]}\'')
}
