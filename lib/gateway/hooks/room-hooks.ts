import { createHash, randomUUID } from 'node:crypto'
import { Refusal } from '../../index.js'
import type { Backend } from './backend.js'
import { HookFailure } from './failure.js'
import type { Notices } from './notices.js'
import type { Answer } from './request.js'

/** Who is meant, as the backend is told. */
export interface Asking {
  readonly room: string
  readonly params: unknown
  readonly userId: string
  readonly user: unknown
}

/** What a message's handler is given, as far as the backend is told. */
export interface AskedMessage extends Asking {
  readonly message: string
  readonly data: unknown
  readonly messageId: string | undefined
  readonly connectionId: string | undefined
}

/** The hooks of rooms: what the backend is asked, and what its answers mean. */
export class RoomHooks {
  readonly #backend: Backend
  readonly #notices: Notices

  constructor (backend: Backend, notices: Notices) {
    this.#backend = backend
    this.#notices = notices
  }

  /**
   * Whether somebody may enter: `{ "allow": true }` of the backend. A refusal is no.
   *
   * @throws Refusal `unavailable` where the backend does not say, and `rate_limited` where too much of one user waits
   *   for it
   */
  async authorize (asking: Asking): Promise<boolean> {
    return await this.#backend.ask('authorize', randomId(), asking, (answer) => {
      if (answer.status >= 300) return false
      const { allow } = recordOf(parsed(answer))
      if (typeof allow === 'boolean') return allow
      throw new HookFailure('nonsense', 'it answered neither { "allow": true } nor { "allow": false }')
    }).catch(unavailable)
  }

  /**
   * The reply to a message: the JSON that the backend answers with; nothing for an empty answer.
   *
   * @throws an error with the code of the backend's refusal, Refusal `unavailable` where it does not answer,
   *   `rate_limited` where too much of one user waits for it, and `internal` where it may have done what was asked and
   *   nobody can read its answer
   */
  async message (asked: AskedMessage): Promise<unknown> {
    return await this.#backend.ask('message', idOf(asked), asked, (answer) => {
      if (answer.status >= 300) return { refusal: refusalOf(answer) }
      if (answer.body.trim() === '') return {}
      const reply = parsed(answer)
      if (reply === undefined) throw new HookFailure('nonsense', 'it answered with something else than JSON')
      return { reply }
    }).then(({ refusal, reply }: { refusal?: Error, reply?: unknown }) => {
      if (refusal !== undefined) throw refusal
      return reply
    }, unanswered)
  }

  tell (hook: 'join' | 'leave', asking: Asking & { readonly [more: string]: unknown }): void {
    this.#notices.add(hook, asking.userId, asking)
  }
}

function randomId (): string { return `msg_${randomUUID()}` }

/** A message that its client sends again is the same request to the backend. */
function idOf ({ userId, room, message, messageId, data }: AskedMessage): string {
  if (messageId === undefined) return randomId()
  const whole = JSON.stringify([userId, room, message, messageId, data])
  return `msg_${createHash('sha256').update(whole).digest('base64url')}`
}

function parsed ({ body }: Answer): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

function recordOf (value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? value as Readonly<Record<string, unknown>> : {}
}

const CODE = /^[A-Za-z0-9_.-]{1,64}$/

/** What the client is told of a refusal: the backend's own code and message. */
function refusalOf (answer: Answer): Error {
  const { code, message } = recordOf(parsed(answer))
  return Object.assign(new Error(typeof message === 'string' ? message.slice(0, 500) : 'refused'), {
    statusCode: answer.status,
    ...(typeof code === 'string' && CODE.test(code) ? { code } : {})
  })
}

/** What a client is told when the backend does not answer. */
function unavailable (error: unknown): never {
  if (!(error instanceof HookFailure)) throw error
  const { reason, retryAfter = 1_000 } = error
  const why = { reason, fix: 'see the warnings about the backend' }
  if (reason === 'user_busy') {
    throw new Refusal('rate_limited', { message: 'too much of yours waits for the application', retryAfter, why })
  }
  throw new Refusal('unavailable', { message: 'the application is not available', retryAfter, why })
}

/** The same of a message. A client would send again by itself what the backend may have done. */
function unanswered (error: unknown): never {
  if (error instanceof HookFailure && (error.reason === 'nonsense' || error.reason === 'too_large')) {
    throw new Refusal('internal', { why: { reason: error.reason } })
  }
  return unavailable(error)
}
