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
/** Milliseconds between two reads of the shared secret, which the broker keeps as long as some node reads it. */
const LOOK = 3_600_000
/** Secrets that are remembered: a broker that lost its data gives another one, and older connections continue. */
const MAX_SECRETS = 3

/** Connections that poll, and all others: an id of one kind proves nothing for the other. */
type Kind = 'poll' | 'link'

/**
 * Makes and checks ids of connections. Half of an id is random, half proves that a node gave it to this user. A
 * connection that polls may continue at any node, which takes over the slots that it holds elsewhere, so the id in its
 * cursor has to be proven: an invented id does not pass, nor that of a WebSocket or of another user's poll. A POST may
 * come to any node too, and names the connection of its caller in the same way.
 */
export class ConnectionIds {
  readonly #adapter: Pick<Adapter, 'secret'>
  readonly #onError: (error: unknown) => void
  /** The secrets, newest first; at the start one of this node alone. */
  #secrets: readonly string[] = [randomBytes(SECRET_BYTES).toString('base64url')]
  #timer: NodeJS.Timeout | undefined
  #pool: Uint8Array = Buffer.alloc(0)
  #used = 0

  constructor (adapter: Pick<Adapter, 'secret'>, onError: (error: unknown) => void) {
    this.#adapter = adapter
    this.#onError = onError
  }

  /** Resolves when this node knows the secret of all nodes, or has failed to get it for now. */
  async start (): Promise<void> {
    if (this.#adapter.secret === undefined) return
    this.#timer = every(() => { void this.agree() }, LOOK).unref()
    await this.agree()
  }

  stop (): void { clearInterval(this.#timer) }

  /**
   * Takes the secret that all nodes share. Until then a poll that comes from another node keeps its positions and gets
   * a new id.
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
    // Where nodes share no secret, no node checks a proof, and making one costs ten times as much as the rest of the
    // id.
    if (kind === 'link' && this.#adapter.secret === undefined) {
      return Buffer.concat([head, this.#random()]).toString('base64url')
    }
    return Buffer.concat([head, proofOf(this.#secrets[0]!, kind, head, userId)]).toString('base64url')
  }

  /** Random bytes are drawn in blocks, because a call into the kernel costs more than an id. */
  #random (): Uint8Array {
    if (this.#used === this.#pool.length) {
      this.#pool = randomBytes(POOLED * HEAD_BYTES)
      this.#used = 0
    }
    this.#used += HEAD_BYTES
    return this.#pool.subarray(this.#used - HEAD_BYTES, this.#used)
  }

  /**
   * Whether a node gave this id to the user, for any kind of connection. Where nodes share no secret this cannot be
   * told, and the request goes to the connection's own node, which checks the user.
   */
  isOwn (id: string, userId: string): boolean {
    return this.isProven(id, userId) || this.isProven(id, userId, 'link') ||
      (this.#adapter.secret === undefined && isConnectionId(id))
  }

  /** Whether a node that shares the secret gave this id to a connection of the user, by default to one that polls. */
  isProven (id: string, userId: string, kind: Kind = 'poll'): boolean {
    if (!isConnectionId(id)) return false
    const bytes = Buffer.from(id, 'base64url')
    // Only one spelling of an id is accepted: the last character has unused bits.
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
