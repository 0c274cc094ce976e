import type { Control, ControlMessage } from '../adapters/adapter.js'

/** Milliseconds that the other nodes may take to answer. */
const PATIENCE = 1_000
/** Nodes of which it is known when they last answered. */
const MAX_NODES = 200
/** Questions of other nodes that are answered at the same time. */
const MAX_ANSWERING = 20
/** Says that a node has nothing to say. */
const NOTHING = {}

type Look = Extract<ControlMessage, { readonly type: 'look' }>
type Shown = Extract<ControlMessage, { readonly type: 'shown' }>

/** A node that is there and has not answered, and the milliseconds since it last did, where it ever has. */
export interface SilentNode { readonly node: string, readonly silence?: number }

/** What the other nodes said. */
export interface Answers {
  /** The answers, by node; they are input, as all that comes through a broker. */
  readonly answers: ReadonlyMap<string, unknown>
  readonly silent: readonly SilentNode[]
}

export interface ClusterOptions {
  readonly node: string
  /** Absent where one node is all there is. */
  readonly control: Control | undefined
  /** Knows the other nodes, and waits for their answers. */
  readonly gathering: {
    gather (ask: (id: string) => Promise<void>, timeout: number): Promise<{
      readonly answers: ReadonlyMap<string, unknown>
      readonly missing: readonly string[]
    }>
    answered (id: string, node: string, answer: unknown): void
    close (): void
  }
  /** Called for an answer that could not be sent: whoever asked shows this node as silent. */
  readonly onError: (error: unknown) => void
}

/** Asks the other nodes what they hold, for the pages of admins, and answers what they ask. */
export class Cluster {
  readonly #options: ClusterOptions
  /** When each other node last answered, by `performance.now()`. */
  readonly #answered = new Map<string, number>()
  #answering = 0
  /** What this node answers; absent where it has no pages for admins, `undefined` for what it does not know. */
  answers: ((question: unknown) => Promise<object | undefined>) | undefined

  constructor (options: ClusterOptions) {
    this.#options = options
  }

  get node (): string { return this.#options.node }

  /**
   * Asks all other nodes.
   *
   * @param node the one that it is about, where it is about one
   * @throws Refusal `unavailable` when too many questions wait
   */
  async ask (question: object, node?: string): Promise<Answers> {
    const { control, gathering } = this.#options
    if (control === undefined || node === this.node) return { answers: new Map(), silent: [] }
    const { answers, missing } = await gathering.gather(async (id) => {
      await control.send({ type: 'look', id, ...(node === undefined ? {} : { node }), question })
    }, PATIENCE)
    const now = performance.now()
    return {
      answers,
      silent: missing.map((name) => {
        const at = this.#answered.get(name)
        return at === undefined ? { node: name } : { node: name, silence: Math.round(now - at) }
      })
    }
  }

  /** Takes the answer of another node. */
  shown ({ id, answer }: Shown, from: string): void {
    this.#answered.delete(from)
    this.#answered.set(from, performance.now())
    for (const oldest of this.#answered.keys()) {
      if (this.#answered.size <= MAX_NODES) break
      this.#answered.delete(oldest)
    }
    this.#options.gathering.answered(id, from, answer)
  }

  /** Answers a question of another node, also when there is nothing to say: else it would be waited for. */
  async look ({ id, node, question }: Look): Promise<void> {
    if (this.#answering >= MAX_ANSWERING) return
    this.#answering++
    try {
      const isMeant = node === undefined || node === this.node
      const answer = (isMeant ? await this.answers?.(question) : undefined) ?? NOTHING
      await this.#options.control?.send({ type: 'shown', id, answer })
    } catch (error) {
      this.#options.onError(error)
    } finally {
      this.#answering--
    }
  }

  /** Ends all questions that wait, with the answers that there are. */
  close (): void { this.#options.gathering.close() }
}
