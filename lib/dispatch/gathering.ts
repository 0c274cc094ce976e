import { randomBytes } from 'node:crypto'
import { isNode } from '../adapters/broker/decode-list.js'
import { Refusal } from '../errors/refusal.js'
import { after } from '../structures/timers.js'
import type { Roster } from './roster.js'

/** Questions that wait for answers. */
const MAX_WAITING = 100

/** What the other nodes have answered. */
export interface Gathered<A> {
  readonly answers: ReadonlyMap<string, A>
  /** Nodes that are known and have not answered. */
  readonly missing: string[]
  /** Whether all nodes that there are can be known. */
  readonly isKnown: boolean
}

interface Waiting<A> {
  readonly answers: Map<string, A>
  readonly missing: Set<string>
  readonly settle: () => void
}

/** Asks all other nodes, and collects what they answer until all that are known have, or the time is over. */
export class Gathering<A> {
  readonly #roster: Roster
  readonly #waiting = new Map<string, Waiting<A>>()

  constructor (roster: Roster) {
    this.#roster = roster
  }

  /**
   * @param ask sends the question, of which the answers bear the id; it is told how many nodes will answer
   * @param timeout milliseconds
   * @throws Refusal `unavailable` when too many questions wait
   */
  async gather (ask: (id: string, nodes: number) => Promise<void>, timeout: number): Promise<Gathered<A>> {
    if (this.#waiting.size >= MAX_WAITING) {
      throw new Refusal('unavailable', { message: 'too many questions to other nodes wait', retryAfter: 1_000 })
    }
    await this.#roster.settled()
    const id = randomBytes(9).toString('base64url')
    const answers = new Map<string, A>()
    const missing = new Set(this.#roster.others)
    const answered = new Promise<void>((resolve) => {
      const timer = after(() => { settle() }, timeout)
      const settle = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        resolve()
      }
      this.#waiting.set(id, { answers, missing, settle })
      if (missing.size === 0) settle()
    })
    try {
      if (missing.size > 0) await ask(id, missing.size)
    } catch (error) {
      // Where the broker is away, nobody can answer.
      this.#waiting.get(id)?.settle()
      if (!(error instanceof Refusal)) throw error
    }
    await answered
    return { answers, missing: [...missing], isKnown: this.#roster.isKnown }
  }

  /** Takes the answer of a node; the first one counts. */
  answered (id: string, node: string, answer: A): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined || !isNode(node) || waiting.answers.has(node)) return
    waiting.answers.set(node, answer)
    waiting.missing.delete(node)
    if (waiting.missing.size === 0) waiting.settle()
  }

  /** Ends all that wait with what is there. */
  close (): void {
    for (const waiting of [...this.#waiting.values()]) waiting.settle()
  }
}
