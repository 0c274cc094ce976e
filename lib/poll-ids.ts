import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Adapter } from './adapters/adapter.js'
import { isConnectionId } from './protocol/cursor.js'
import { keyOf } from './protocol/key.js'
import { every } from './timers.js'

const SECRET_BYTES = 32
const HEAD_BYTES = 8
const PROOF_BYTES = 8
const SECRET = /^[A-Za-z0-9_-]{43}$/
/** Milliseconds between two looks at the shared secret: it is kept for as long as somebody looks. */
const LOOK = 3_600_000
/** Secrets that are remembered: a broker that lost its data gives another one, and connections of before go on. */
const MAX_SECRETS = 3

/**
 * Ids of connections that poll. Such a connection may go on at any node, which takes over the slots that it holds elsewhere, so a cursor
 * that names it has to be believed: half of an id is random, half proves that a node gave it to this user, for polling. An id that
 * somebody made up, or that of a WebSocket or of another user's poll, is none.
 */
export class PollIds {
  readonly #adapter: Pick<Adapter, 'secret'>
  readonly #onError: (error: unknown) => void
  /** newest first; at first one of this node alone */
  #secrets: readonly string[] = [randomBytes(SECRET_BYTES).toString('base64url')]
  #timer: NodeJS.Timeout | undefined

  constructor (adapter: Pick<Adapter, 'secret'>, onError: (error: unknown) => void) {
    this.#adapter = adapter
    this.#onError = onError
  }

  start (): void {
    if (this.#adapter.secret === undefined) return
    this.agree()
    this.#timer = every(() => { this.agree() }, LOOK).unref()
  }

  stop (): void { clearInterval(this.#timer) }

  /** Takes the secret that all nodes share. Until then a poll that comes from another node keeps its place in its rooms and gets a new id. */
  agree (): void {
    this.#adapter.secret?.(this.#secrets[0]!).then((shared) => {
      if (SECRET.test(shared)) this.#secrets = [shared, ...this.#secrets.filter((secret) => secret !== shared)].slice(0, MAX_SECRETS)
    }).catch(this.#onError)
  }

  create (userId: string): string {
    const head = randomBytes(HEAD_BYTES)
    return Buffer.concat([head, proofOf(this.#secrets[0]!, head, userId)]).toString('base64url')
  }

  /** Whether a node that shares the secret gave this id to a poll of the user. */
  isProven (id: string, userId: string): boolean {
    if (!isConnectionId(id)) return false
    const bytes = Buffer.from(id, 'base64url')
    // One spelling for each: the last character has bits that say nothing.
    if (bytes.toString('base64url') !== id) return false
    const [head, proof] = [bytes.subarray(0, HEAD_BYTES), bytes.subarray(HEAD_BYTES)]
    return this.#secrets.some((secret) => timingSafeEqual(proofOf(secret, head, userId), proof))
  }
}

function proofOf (secret: string, head: Uint8Array, userId: string): Buffer {
  return createHmac('sha256', secret).update('poll\n').update(head).update(keyOf(userId)).digest().subarray(0, PROOF_BYTES)
}
