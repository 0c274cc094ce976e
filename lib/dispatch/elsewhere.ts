import { randomBytes } from 'node:crypto'
import type { Control, ControlMessage } from '../adapters/adapter.js'
import type { Peer } from '../admission/peer.js'
import { Refusal } from '../errors/refusal.js'
import { after } from '../structures/timers.js'

/** Milliseconds that a node may take to answer for a connection of its own. */
const PATIENCE = 2_000
/** Requests that wait for their answers. */
const MAX_WAITING = 1_000

type Question = Extract<ControlMessage, { readonly type: 'ask' }>
export type Answer = Pick<Extract<ControlMessage, { readonly type: 'answer' }>, 'isDone' | 'code' | 'expires'>

/**
 * Reaches connections that live on other nodes, since a load balancer sends a POST to any node. A request for one of
 * them goes to all nodes, and the node on which it lives executes it and answers. A request is only executed for the
 * user of the connection.
 */
export class Elsewhere {
  readonly #control: Control | undefined
  readonly #waiting = new Map<string, (answer: Answer | undefined) => void>()
  /** Who is pinged, by the pings: a peer that polls may answer by another node, to which it has gone meanwhile. */
  readonly #pinged = new Map<string, Peer>()
  /** Number of requests that no node answered in time. */
  unanswered = 0

  /** @param control absent where there is a single node only */
  constructor (control: Control | undefined) {
    this.#control = control
  }

  /** Whether there are other nodes to ask. */
  get isPossible (): boolean { return this.#control !== undefined }

  /**
   * @returns whether it was done, and the answer of the connection's node
   * @throws Refusal `unavailable` when no node answers in time, or when too many requests wait
   */
  async ask (
    user: string,
    connection: string,
    what: Question['what'],
    more: Pick<Question, 'room' | 'ticket' | 'node'> = {}
  ): Promise<Answer> {
    if (this.#control === undefined || this.#waiting.size >= MAX_WAITING) {
      throw new Refusal('unavailable', { retryAfter: PATIENCE })
    }
    const id = randomBytes(9).toString('base64url')
    const answer = new Promise<Answer | undefined>((resolve) => {
      const timer = after(() => { settle(undefined) }, PATIENCE)
      const settle = (settled: Answer | undefined): void => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve(settled)
      }
      this.#waiting.set(id, settle)
    })
    try {
      await this.#control.send({ type: 'ask', id, user, connection, what, ...more })
    } catch (error) {
      this.#waiting.get(id)?.(undefined)
      throw error
    }
    const settled = await answer
    if (settled !== undefined) return settled
    this.unanswered++
    throw new Refusal('unavailable', { message: 'no node has answered for this connection', retryAfter: 1_000 })
  }

  /** Pings a connection of this node; resolves as `Connection.ping`. */
  async ping (peer: Peer, timeout: number): Promise<number | undefined> {
    const id = randomBytes(6).toString('base64url')
    this.#pinged.set(id, peer)
    try {
      return await peer.ping(id, timeout)
    } finally {
      this.#pinged.delete(id)
    }
  }

  /**
   * Takes the answer to a ping of this node.
   *
   * @returns false where this node has not pinged the connection
   */
  pinged (user: string, connection: string, id: string): boolean {
    const peer = this.#pinged.get(id)
    if (peer?.id !== connection || peer.userId !== user) return false
    peer.pong(id)
    return true
  }

  /** Passes on the answer to a ping; it is not acknowledged. */
  async pong (user: string, connection: string, id: string): Promise<void> {
    await this.#control?.send({ type: 'pong', user, connection, id })
  }

  async answer (
    id: string,
    answer: Answer
  ): Promise<void> { await this.#control?.send({ type: 'answer', id, ...answer }) }

  answered (id: string, answer: Answer): void { this.#waiting.get(id)?.(answer) }

  /** Refuses all requests that wait. */
  close (): void { for (const settle of [...this.#waiting.values()]) settle(undefined) }
}
