import { randomBytes } from 'node:crypto'
import type { Control, ControlMessage } from '../adapters/adapter.js'
import { Refusal } from '../errors/refusal.js'
import { after } from '../structures/timers.js'

/** Milliseconds that a node may take to answer for a connection of its own. */
const PATIENCE = 2_000
/** Questions that wait for their answers. */
const MAX_WAITING = 1_000

type Question = Extract<ControlMessage, { readonly type: 'ask' }>
export type Answer = Pick<Extract<ControlMessage, { readonly type: 'answer' }>, 'isDone' | 'code' | 'expires'>

/**
 * Connections that live on other nodes: a balancer sends a POST anywhere. What is asked for one of them goes to all
 * nodes, and the one on which it lives does it and answers. Only for its own user.
 */
export class Elsewhere {
  readonly #control: Control | undefined
  readonly #waiting = new Map<string, (answer: Answer | undefined) => void>()
  /** questions that no node has answered in time */
  unanswered = 0

  /** @param control absent where one node is all there is */
  constructor (control: Control | undefined) {
    this.#control = control
  }

  /** there are other nodes to ask */
  get isPossible (): boolean { return this.#control !== undefined }

  /**
   * @returns whether it was done, with what its node says to that
   * @throws Refusal `unavailable` when no node answers in time, or too many questions wait
   */
  async ask (
    user: string,
    connection: string,
    what: Question['what'],
    more: Pick<Question, 'room' | 'ticket'> = {}
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

  /** What the connection has heard of a ping; nobody waits for it. */
  async pong (user: string, connection: string, id: string): Promise<void> {
    await this.#control?.send({ type: 'pong', user, connection, id })
  }

  async answer (
    id: string,
    answer: Answer
  ): Promise<void> { await this.#control?.send({ type: 'answer', id, ...answer }) }

  answered (id: string, answer: Answer): void { this.#waiting.get(id)?.(answer) }

  /** Whoever waits is refused. */
  close (): void { for (const settle of [...this.#waiting.values()]) settle(undefined) }
}
