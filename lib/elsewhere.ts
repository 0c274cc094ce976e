import { randomBytes } from 'node:crypto'
import type { Control, ControlMessage } from './adapters/adapter.js'
import { Refusal } from './errors.js'
import { isConnectionId } from './protocol/cursor.js'
import { after } from './timers.js'

/** Milliseconds that a node may take to answer for a connection of its own. */
const PATIENCE = 2_000
/** Questions that wait for their answers. */
const MAX_WAITING = 1_000

type Question = Extract<ControlMessage, { readonly type: 'ask' }>

/**
 * Connections that live on other nodes: a balancer sends a POST anywhere. What is asked for one of them goes to all nodes, and the one on
 * which it lives does it and answers. Only for its own user.
 */
export class Elsewhere {
  readonly #control: Control | undefined
  readonly #waiting = new Map<string, (isDone: boolean | undefined) => void>()
  /** questions that no node has answered in time */
  unanswered = 0

  /** @param control absent where one node is all there is */
  constructor (control: Control | undefined) {
    this.#control = control
  }

  /** The connection that a caller names as its own, where it may live on another node. */
  named (id: unknown): string | undefined { return this.#control !== undefined && isConnectionId(id) ? id : undefined }

  /**
   * @returns whether it was done: the connection was in the room
   * @throws Refusal `unavailable` when no node answers in time, or too many questions wait
   */
  async ask (user: string, connection: string, what: Question['what'], room?: string): Promise<boolean> {
    if (this.#control === undefined || this.#waiting.size >= MAX_WAITING) throw new Refusal('unavailable', { retryAfter: PATIENCE })
    const id = randomBytes(9).toString('base64url')
    const answer = new Promise<boolean | undefined>((resolve) => {
      const timer = after(() => { settle(undefined) }, PATIENCE)
      const settle = (isDone: boolean | undefined): void => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve(isDone)
      }
      this.#waiting.set(id, settle)
    })
    try {
      await this.#control.send({ type: 'ask', id, user, connection, what, ...(room === undefined ? {} : { room }) })
    } catch (error) {
      this.#waiting.get(id)?.(undefined)
      throw error
    }
    const isDone = await answer
    if (isDone !== undefined) return isDone
    this.unanswered++
    throw new Refusal('unavailable', { message: 'no node has answered for this connection', retryAfter: 1_000 })
  }

  /** What the connection has heard of a ping; nobody waits for it. */
  async pong (user: string, connection: string, id: string): Promise<void> {
    await this.#control?.send({ type: 'pong', user, connection, id })
  }

  async answer (id: string, isDone: boolean): Promise<void> { await this.#control?.send({ type: 'answer', id, isDone }) }

  answered (id: string, isDone: boolean): void { this.#waiting.get(id)?.(isDone) }

  /** Whoever waits is refused. */
  close (): void { for (const settle of [...this.#waiting.values()]) settle(undefined) }
}
