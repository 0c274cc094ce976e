import type { FastifyInstance, FastifyRequest } from 'fastify'
import { redact, textOf } from '../errors/redact.js'
import { Refusal, type RefusalOptions } from '../errors/refusal.js'

/**
 * Verifies a token and returns what it says.
 *
 * @throws Refusal `token_expired` or `unauthorized`
 */
export type VerifyJwt = (request: FastifyRequest, token: string) => unknown

/** The options of @fastify/jwt that matter here. */
interface JwtOptions {
  readonly secret?: unknown
  readonly decode?: unknown
  readonly trusted?: unknown
  readonly formatUser?: unknown
  readonly decoratorName?: string
  readonly verify?: { readonly extractToken?: unknown, readonly onlyCookie?: unknown }
}

const EXPIRED: readonly unknown[] = ['FST_JWT_AUTHORIZATION_TOKEN_EXPIRED', 'FAST_JWT_EXPIRED']

/**
 * Makes every failure of verification a 401: @fastify/jwt answers 500 for a future nbf, an algorithm that is not
 * allowed, and a padded token.
 */
function refusalOf (error: unknown, token: string): Refusal {
  return new Refusal(
    EXPIRED.includes((error as { code?: unknown } | null)?.code) ? 'token_expired' : 'unauthorized',
    saidBy(error, [token])
  )
}

/**
 * Tells what a verifier said of a credential, for the log: its code as the reason, and its message without the
 * credential as the cause.
 */
export function saidBy (error: unknown, secrets: readonly string[]): Pick<RefusalOptions, 'why' | 'cause'> {
  const { name, code, message } = (typeof error === 'object' && error !== null
    ? error
    : { message: error }) as { name?: unknown, code?: unknown, message?: unknown }
  return {
    why: { reason: redact(typeof code === 'string' ? code : textOf(name ?? 'an error'), secrets) },
    cause: { type: name, code: typeof code === 'string' ? redact(code, secrets) : undefined, message: redact(textOf(message), secrets) }
  }
}

/** Whether no option looks at the single request, so that the token alone decides. */
function isStatic ({ secret, decode, trusted, formatUser }: JwtOptions): boolean {
  const key: unknown = typeof secret === 'object' && secret !== null && 'public' in secret ? secret.public : secret
  return typeof key !== 'function' && decode === undefined && trusted === undefined && formatUser === undefined
}

/**
 * Verifies with @fastify/jwt. When it is called with options of its own, it makes a new verifier for each token, with
 * the keys and without use for its `cache`, which costs several times the verification. So it is called without options
 * wherever that gives the same result.
 *
 * @param own the options with which this plugin registered it; absent where the app registered it
 */
export function createVerifyJwt (app: FastifyInstance, own: JwtOptions | undefined): VerifyJwt {
  if (own !== undefined && isStatic(own)) {
    const { decoratorName = 'user' } = own
    return (request, token) => {
      try {
        const user: unknown = app.jwt.verify(token)
        Object.assign(request, { [decoratorName]: user })
        return user
      } catch (error) {
        throw refusalOf(error, token)
      }
    }
  }
  return async (request, token) => {
    try {
      return await (isPlain(app, request, token)
        ? request.jwtVerify<object>()
        : request.jwtVerify<object>({ extractToken: () => token } as object))
    } catch (error) {
      throw refusalOf(error, token)
    }
  }
}

/**
 * Whether `jwtVerify` of the request would find the same token without options. Another plugin's `jwtVerify`, or one
 * under a namespace, gets the token explicitly.
 */
function isPlain (app: FastifyInstance, { headers }: FastifyRequest, token: string): boolean {
  const { jwt } = app as { jwt?: { options?: { verify?: JwtOptions['verify'] } } }
  const verify = jwt?.options?.verify
  return verify !== undefined && verify.extractToken === undefined && verify.onlyCookie === undefined &&
    headers.authorization === `Bearer ${token}`
}
