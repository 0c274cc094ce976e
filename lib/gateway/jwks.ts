import type { Verification } from './config/resolve.js'

/** Codes of jose for a token that is wrong; any other error is one of the key server. */
const OF_THE_TOKEN = /^ERR_(JWT_|JWS_|JOSE_ALG_NOT_ALLOWED|JOSE_NOT_SUPPORTED|JWKS_NO_MATCHING_KEY|JWKS_MULTIPLE_MATCHING_KEYS)/

/**
 * Verifies tokens by the keys of a URL. They are fetched when the first token comes, again after 10 minutes, and for
 * a token with an unknown key once in 30 seconds at most, whatever strangers send.
 */
export async function verifyByKeySet (
  { url, issuer, audience, algorithms }: Extract<Verification, { kind: 'jwks' }>,
  timeout: number
): Promise<(request: unknown, token: string | undefined) => Promise<{ sub: string } | null>> {
  const { createRemoteJWKSet, jwtVerify } = await import('jose')
  const times = { timeoutDuration: timeout, cooldownDuration: 30_000, cacheMaxAge: 600_000 }
  const keys = createRemoteJWKSet(new URL(url), times)
  const options = {
    clockTolerance: 5,
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
    ...(algorithms === undefined ? {} : { algorithms })
  }
  return async (_request, token) => {
    if (token === undefined) return null
    try {
      const { payload } = await jwtVerify(token, keys, options)
      return payload as { sub: string }
    } catch (error) {
      const { code } = error as { code?: unknown }
      if (typeof code === 'string' && OF_THE_TOKEN.test(code)) {
        throw Object.assign(new Error('the token is not valid'), { statusCode: 401, code })
      }
      throw error
    }
  }
}
