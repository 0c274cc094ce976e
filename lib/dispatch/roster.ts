import type { Control } from '../adapters/adapter.js'
import { isNode } from '../adapters/broker/decode-list.js'
import { Pauses } from '../structures/pauses.js'
import { every } from '../structures/timers.js'
import { within } from '../structures/within.js'

/** Milliseconds between two signs of life of a node. */
const SIGN = 20_000
/** Milliseconds after the last one for which a node is waited for: as long as its connections may still be held. */
const KNOWN = 60_000
/** Nodes that are known; beyond them, who was heard of longest ago is forgotten. */
const MAX_NODES = 2_000
/** Milliseconds that the others have to say that they are there, after they were asked. */
const SETTLING = 250
/** Milliseconds that a node which leaves waits for the broker to take its goodbye. */
const PATIENCE = 250

/** Knows the other nodes by what they say themselves, on every adapter on which nodes can speak to each other. */
export class Roster {
  readonly #control: Control | undefined
  readonly #onError: (error: unknown) => void
  readonly #onGone: (node: string) => void
  /** When each was heard of last, by `performance.now()`; the one heard of longest ago comes first. */
  readonly #heard = new Map<string, number>()
  readonly #pauses = new Pauses()
  #timer: NodeJS.Timeout | undefined
  #askedAt = Number.NEGATIVE_INFINITY
  #isReached = false

  /**
   * @param control absent where this node is alone
   * @param onGone called when a node has left, or was not heard of for as long as its connections may be held
   */
  constructor (
    control: Control | undefined,
    onError: (error: unknown) => void,
    onGone: (node: string) => void = () => {}
  ) {
    this.#control = control
    this.#onError = onError
    this.#onGone = onGone
  }

  start (): void {
    if (this.#control === undefined) return
    this.#timer = every(() => {
      this.#say('here')
      this.#forgetSilent()
    }, SIGN).unref()
    this.ask()
  }

  /** Tells the others that this node leaves; never rejects, and takes no longer than the broker may take. */
  async stop (): Promise<void> {
    this.#pauses.end()
    if (this.#timer === undefined) return
    clearInterval(this.#timer)
    this.#timer = undefined
    await within(PATIENCE, this.#control!.send({ type: 'node', state: 'leaving' }), () => new Error('late'))
      .catch(() => undefined)
  }

  /** Says that this node is there, and asks who else is: at the start, and when the broker is back. */
  ask (): void {
    if (this.#timer === undefined) return
    this.#askedAt = performance.now()
    this.#say('new')
  }

  #say (state: 'new' | 'here'): void {
    this.#control!.send({ type: 'node', state }).then(() => { this.#isReached = true }, (error: unknown) => {
      this.#isReached = false
      this.#onError(error)
    })
  }

  /** Whether the others are known: not while the broker cannot be reached. */
  get isKnown (): boolean { return this.#control === undefined || this.#isReached }

  /** Resolves when the others have had the time to answer the question who is there, or this node stops. */
  async settled (): Promise<void> {
    const left = this.#askedAt + SETTLING - performance.now()
    if (left > 0) await this.#pauses.wait(left)
  }

  /** Takes what a node says of itself. */
  heard (node: string, state: 'new' | 'here' | 'leaving'): void {
    if (!isNode(node)) return
    const isKnown = this.#heard.delete(node)
    if (state === 'leaving') {
      if (isKnown) this.#onGone(node)
      return
    }
    this.#heard.set(node, performance.now())
    for (const oldest of this.#heard.keys()) {
      if (this.#heard.size <= MAX_NODES) break
      this.#heard.delete(oldest)
    }
    if (state === 'new' && this.#timer !== undefined) this.#say('here')
  }

  /** The other nodes. */
  get others (): string[] {
    this.#forgetSilent()
    return [...this.#heard.keys()]
  }

  #forgetSilent (): void {
    const now = performance.now()
    for (const [node, at] of this.#heard) {
      if (now - at < KNOWN) break
      this.#heard.delete(node)
      this.#onGone(node)
    }
  }
}
