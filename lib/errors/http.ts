import { validateHeaderName, validateHeaderValue } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Code } from '../protocol/codes.js'
import type { HttpError } from '../protocol/frames.js'
import type { FailureLog } from './failure-log.js'
import { Refusal, refusalOf } from './refusal.js'

export const NO_STORE = { 'cache-control': 'no-store' } as const

/**
 * Sends JSON as it is. The serializers and `preSerialization` hooks of the app are meant for the app's own answers, and
 * would change what clients read.
 */
export function sendJson (reply: FastifyReply, value: unknown): FastifyReply {
  return sendText(reply, JSON.stringify(value))
}

/** Sends a text that is JSON already. */
export function sendText (reply: FastifyReply, json: string): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(json)
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  413: 'Payload Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Entity',
  426: 'Upgrade Required',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
  504: 'Gateway Timeout'
}

/** The body of every HTTP refusal. */
export function httpError ({ statusCode, data, room }: Refusal): HttpError {
  return { statusCode, error: REASONS[statusCode] ?? 'Error', ...data, ...(room === undefined ? {} : { room }) }
}

/**
 * Returns the value of `retry-after` in whole seconds, at least 1, because 0 would let a client come back at once.
 *
 * @param delay milliseconds
 */
export function secondsOf (delay: number): string {
  return String(Math.max(1, Math.ceil(delay / 1_000)))
}

/**
 * Takes headers off a refusal that no answer can carry, which hooks of the app have set: with one of them it would be
 * sent without its body, and nobody would know the reason.
 */
export function dropUnsendable (reply: FastifyReply): void {
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    try {
      validateHeaderName(name)
      validateHeaderValue(name, String(value))
    } catch {
      void reply.removeHeader(name)
    }
  }
}

/**
 * Answers a request with a refusal: its status, what the status asks for, when to come again, and the body.
 *
 * @param more of the body
 */
export function sendRefusal (
  reply: FastifyReply,
  refusal: Refusal,
  headers: Readonly<Record<string, string>>,
  more: object = {}
): FastifyReply {
  const { retryAfter } = refusal.data
  if (refusal.statusCode === 401) void reply.header('www-authenticate', 'Bearer')
  if (retryAfter !== undefined) void reply.header('retry-after', secondsOf(retryAfter))
  return sendJson(reply.code(refusal.statusCode).headers(headers), { ...httpError(refusal), ...more })
}

/**
 * Logs the fault behind a refusal, of which the peer is told nothing.
 *
 * @param cause what `refusalOf` found to be a fault
 * @param what the message of the line
 */
export function logCause (
  failures: FailureLog, request: FastifyRequest, refusal: Refusal, cause: unknown, what: string
): void {
  if (cause !== undefined) request.log.error({ err: cause }, what)
  else if (refusal.word === 'unavailable' && refusal.cause !== undefined) {
    failures.away(request.log, 'authentication failed', refusal.cause)
  }
}

/** Does what `refusalOf` does for a request: Fastify's own errors and those of the app's hooks are refusals there. */
export function requestRefusalOf (error: unknown, reply: FastifyReply): { refusal: Refusal, cause?: unknown } {
  const refusal = fromFastify(error) ?? fromHook(error, reply)
  return refusal === undefined ? refusalOf(error) : { refusal }
}

/** Says Fastify's own refusals by our codes: a body that is too large or is no JSON, and a wrong media type. */
function fromFastify (error: unknown): Refusal | undefined {
  const { code, statusCode, message } = error as { code?: unknown, statusCode?: unknown, message?: unknown }
  if (typeof code !== 'string' || !/^FST_ERR_(?:CTP|VALIDATION)/.test(code) || typeof statusCode !== 'number' ||
    statusCode >= 500) {
    return undefined
  }
  if (statusCode === 413) return new Refusal('message_too_large', { why: { limit: 'limits.message' } })
  return new Refusal('invalid_message', {
    message: statusCode === 415 ? 'send application/json' : String(message),
    as: { code: 'invalid_message', statusCode }
  })
}

/**
 * By these statuses a hook of the app says that it lets nobody in for a while: because of overload, of maintenance, or
 * of another server that is late.
 */
const FOR_A_WHILE: ReadonlyMap<unknown, Code> = new Map([[502, 'unavailable'], [503, 'unavailable'], [504, 'timeout']])

/** Returns the refusal of a hook of the app. Its status, code and `Retry-After` stay, and no fault is logged. */
function fromHook (error: unknown, reply: FastifyReply): Refusal | undefined {
  if (error instanceof Refusal || typeof error !== 'object' || error === null) return undefined
  const { statusCode, code, message } = error as { statusCode?: unknown, code?: unknown, message?: unknown }
  const header = Number(reply.getHeader('retry-after'))
  const retryAfter = header > 0 ? header * 1_000 : undefined
  const word = FOR_A_WHILE.get(statusCode)
  if (word !== undefined) {
    return new Refusal(word, {
      message: typeof message === 'string' && message !== '' ? message : undefined,
      retryAfter,
      as: { code: typeof code === 'string' && code !== '' ? code : word, statusCode: statusCode as number }
    })
  }
  const { refusal, cause } = refusalOf(error)
  if (cause !== undefined) return undefined
  const { data } = refusal
  return new Refusal(refusal.word, {
    message: data.message,
    retryAfter,
    as: { code: data.code, statusCode: refusal.statusCode }
  })
}
