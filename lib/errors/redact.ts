import type { FastifyRequest } from 'fastify'
import { isThenable } from '../protocol/thenable.js'
import { Refusal } from './refusal.js'

/** Errors behind an error that are kept: one may be its own cause. */
const DEPTH = 4
/** Characters of a cookie that is held to be a secret at least: those that are shorter are words of any text. */
const LEAST = 8

/**
 * Finds what must not stand in a log of an error that the application has made while it had the request: the credential
 * that was found, and those that it may have read itself.
 */
export function secretsOf ({ headers: { authorization, cookie } }: FastifyRequest, token?: string): string[] {
  const values = [
    authorization?.slice(authorization.indexOf(' ') + 1).trim(),
    ...(cookie?.split(';') ?? []).map((part) => part.slice(part.indexOf('=') + 1).trim())
  ]
  const found = values.filter((value) => value !== undefined && value.length >= LEAST) as string[]
  return token === undefined ? found : [token, ...found]
}

/** Calls a function of the application that is given a request. No error of it says a credential of that. */
export function redacting<T> (request: FastifyRequest, step: () => T): T {
  const fail = (error: unknown): never => {
    throw error instanceof Refusal ? error : redactError(error, secretsOf(request))
  }
  try {
    const result = step()
    return isThenable(result) ? Promise.resolve(result).catch(fail) as T : result
  } catch (error) {
    return fail(error)
  }
}

/** Returns the text without the secrets, as they are and as they stand in a URL. */
export function redact (text: string, secrets: readonly string[]): string {
  let rest = text
  for (const secret of secrets) {
    if (secret === '') continue
    for (const form of [secret, encoded(secret), decoded(secret)]) rest = rest.replaceAll(form, '[token]')
  }
  return rest
}

/**
 * Returns what may be logged of an error: what it says without the secrets, and where it was made. Its other properties
 * are left out, since clients of HTTP keep their whole request there.
 */
export function redactError (error: unknown, secrets: readonly string[], depth = DEPTH): Error {
  const { name, message, stack, code, statusCode, cause } = fieldsOf(error)
  const kept: Error & { code?: string, statusCode?: number } = new Error(redact(textOf(message), secrets))
  if (typeof name === 'string') Object.defineProperty(kept, 'name', { value: redact(name, secrets), configurable: true })
  kept.stack = typeof stack === 'string' ? redact(stack, secrets) : `${kept.name}: ${kept.message}`
  if (typeof code === 'string') kept.code = redact(code, secrets)
  if (typeof statusCode === 'number') kept.statusCode = statusCode
  if (cause !== undefined && cause !== null && depth > 0) {
    Object.defineProperty(kept, 'cause', { value: redactError(cause, secrets, depth - 1), configurable: true })
  }
  return kept
}

/** Returns what was thrown in place of an error, or as its message: objects may have no text. */
export function textOf (value: unknown): string {
  return typeof value === 'object' && value !== null ? 'an object without a text' : String(value)
}

type Fields = Readonly<Partial<Record<'name' | 'message' | 'stack' | 'code' | 'statusCode' | 'cause', unknown>>>

function fieldsOf (error: unknown): Fields {
  return typeof error === 'object' && error !== null && 'message' in error
    ? error
    : { message: error === undefined || error === null ? `${String(error)} was thrown` : error }
}

function encoded (text: string): string {
  try {
    return encodeURIComponent(text)
  } catch {
    return text
  }
}

function decoded (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
