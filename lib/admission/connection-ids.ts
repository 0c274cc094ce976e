import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Adapter } from '../adapters/adapter.js'
import { isConnectionId } from '../protocol/cursor.js'
import { keyOf } from '../protocol/key.js'
import { every } from '../structures/timers.js'

const SECRET_BYTES = 32
const HEAD_BYTES = 8
const PROOF_BYTES = 8
/** Ids whose random halves are drawn at once. */
const POOLED = 512
const SECRET = /^[A-Za-z0-9_-]{43}$/
/** Milliseconds between two looks at the shared secret: it is kept for as long as somebody looks. */
const LOOK = 3_600_000
/** Secrets that are remembered: a broker that lost its data gives another one, and connections of before go on. */
const MAX_SECRETS = 3

/** Connections that poll, and all others: the id of one kind proves nothing of the other. */
type Kind = 'poll' | 'link'

/**
 * Ids of connections: half of one is random, half proves that a node gave it to this user. A connection that polls may
 * go on at any node, which takes over the slots that it holds elsewhere, so a cursor that names it has to be believed:
 * an id that somebody made up, or that of a WebSocket or of another user's poll, is none. A POST comes to any node too,
 * and names the connection of its caller alike.
 */
export class ConnectionIds {
  readonly #adapter: Pick<Adapter, 'secret'>
  readonly #onError: (error: unknown) => void
  /** newest first; at first one of this node alone */
  #secrets: readonly string[] = [randomBytes(SECRET_BYTES).toString('base64url')]
  #timer: NodeJS.Timeout | undefined
  #pool: Uint8Array = Buffer.alloc(0)
  #used = 0

  constructor (adapter: Pick<Adapter, 'secret'>, onError: (error: unknown) => void) {
    this.#adapter = adapter
    this.#onError = onError
  }

  /** Resolves when the secret of all nodes is known here, or could not be had now. */
  async start (): Promise<void> {
    if (this.#adapter.secret === undefined) return
    this.#timer = every(() => { void this.agree() }, LOOK).unref()
    await this.agree()
  }

  stop (): void { clearInterval(this.#timer) }

  /**
   * Takes the secret that all nodes share. Until then a poll that comes from another node keeps its place in its rooms
   * and gets a new id.
   */
  async agree (): Promise<void> {
    try {
      const shared = await this.#adapter.secret?.(this.#secrets[0]!)
      if (shared !== undefined && SECRET.test(shared)) {
        this.#secrets = [shared, ...this.#secrets.filter((secret) => secret !== shared)].slice(0, MAX_SECRETS)
      }
    } catch (error) {
      this.#onError(error)
    }
  }

  create (userId: string, kind: Kind = 'poll'): string {
    const head = this.#random()
    // Nobody asks for a proof of it where nodes share no secret, and to make one costs as much as the rest of the id
    // tenfold.
    if (kind === 'link' && this.#adapter.secret === undefined) {
      return Buffer.concat([head, this.#random()]).toString('base64url')
    }
    return Buffer.concat([head, proofOf(this.#secrets[0]!, kind, head, userId)]).toString('base64url')
  }

  /** Drawn in blocks: a call into the kernel costs more than an id. */
  #random (): Uint8Array {
    if (this.#used === this.#pool.length) {
      this.#pool = randomBytes(POOLED * HEAD_BYTES)
      this.#used = 0
    }
    this.#used += HEAD_BYTES
    return this.#pool.subarray(this.#used - HEAD_BYTES, this.#used)
  }

  /**
   * Whether a node gave this id to the user, for any kind of connection. Where nodes share no secret nobody can tell,
   * and what is asked for the id goes to its own node, which looks whose it is.
   */
  isOwn (id: string, userId: string): boolean {
    return this.isProven(id, userId) || this.isProven(id, userId, 'link') ||
      (this.#adapter.secret === undefined && isConnectionId(id))
  }

  /** Whether a node that shares the secret gave this id to a poll of the user, or to another of his connections. */
  isProven (id: string, userId: string, kind: Kind = 'poll'): boolean {
    if (!isConnectionId(id)) return false
    const bytes = Buffer.from(id, 'base64url')
    // One spelling for each: the last character has bits that say nothing.
    if (bytes.toString('base64url') !== id) return false
    const [head, proof] = [bytes.subarray(0, HEAD_BYTES), bytes.subarray(HEAD_BYTES)]
    return this.#secrets.some((secret) => timingSafeEqual(proofOf(secret, kind, head, userId), proof))
  }
}

function proofOf (secret: string, kind: Kind, head: Uint8Array, userId: string): Buffer {
  return createHmac('sha256', secret).update(`${kind}\n`).update(head).update(keyOf(userId)).digest().subarray(
    0,
    PROOF_BYTES
  )
}
