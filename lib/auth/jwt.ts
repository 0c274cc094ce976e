import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Refusal, type RefusalOptions } from '../errors/refusal.js'

/** What a token says, once it is verified. @throws Refusal `token_expired` or `unauthorized` */
export type VerifyJwt = (request: FastifyRequest, token: string) => unknown

/** What we need to know of the options that @fastify/jwt was registered with. */
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
 * Every failure of verification is 401: @fastify/jwt answers 500 for a future nbf, an algorithm that is not allowed, a
 * padded token.
 */
function refusalOf (error: unknown, token: string): Refusal {
  return new Refusal(
    EXPIRED.includes((error as { code?: unknown } | null)?.code) ? 'token_expired' : 'unauthorized',
    saidBy(error, token)
  )
}

/**
 * What a verifier said of a credential, for the log: its code as what was compared, its words without the credential as
 * the error behind.
 */
export function saidBy (error: unknown, token: string | undefined): Pick<RefusalOptions, 'why' | 'cause'> {
  const { name, code, message } = (typeof error === 'object' && error !== null
    ? error
    : { message: error }) as { name?: unknown, code?: unknown, message?: unknown }
  const text = String(message)
  return {
    why: { reason: typeof code === 'string' ? code : String(name ?? 'an error') },
    cause: { type: name, code, message: token === undefined || token === '' ? text : text.replaceAll(token, '[token]') }
  }
}

/** Nothing is looked up or decided for the single request, so that the token alone tells. */
function isStatic ({ secret, decode, trusted, formatUser }: JwtOptions): boolean {
  const key: unknown = typeof secret === 'object' && secret !== null && 'public' in secret ? secret.public : secret
  return typeof key !== 'function' && decode === undefined && trusted === undefined && formatUser === undefined
}

/**
 * Verifies by @fastify/jwt. Asked with options of the call, it makes a new verifier for each token, keys included and
 * its `cache` of no use, which costs several times the verification; so it is asked without wherever that comes to the
 * same.
 *
 * @param own the options that this plugin registered it with; absent where the app did
 */
export function createVerifyJwt (app: FastifyInstance, own: JwtOptions | undefined): VerifyJwt {
  if (own !== undefined && isStatic(own)) {
    const { decoratorName = 'user' } = own
    return (request, token) => {
      try {
        const user: unknown = app.jwt.verify(token);
        (request as unknown as Record<string, unknown>)[decoratorName] = user
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
 * @fastify/jwt would find the same token by itself. Another plugin's `jwtVerify`, or one under a namespace, is asked in
 *   so many words.
 */
function isPlain (app: FastifyInstance, { headers }: FastifyRequest, token: string): boolean {
  const { jwt } = app as { jwt?: { options?: { verify?: JwtOptions['verify'] } } }
  const verify = jwt?.options?.verify
  return verify !== undefined && verify.extractToken === undefined && verify.onlyCookie === undefined &&
    headers.authorization === `Bearer ${token}`
}
