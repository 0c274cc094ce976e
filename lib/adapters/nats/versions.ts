import { randomInt } from 'node:crypto'

/** 2024-01-01: fewer bits for the time leave more for the node. */
const BEGIN = Date.UTC(2024, 0, 1)
const NODES = 4_096

/**
 * Versions of `latest` values where no stream numbers them for all nodes: a logical clock (Lamport) that also follows
 * the time, and the node's number for two values at once. All nodes order the values alike, whatever their clocks say,
 * because a node that receives a later time continues from there.
 */
export class LogicalVersions {
  #node = randomInt(NODES)
  #last = 0
  /** The clock that all nodes follow, the fastest of theirs, minus `performance.now()`. */
  #offset = Date.now() - BEGIN - performance.now()

  get time (): number { return Math.max(this.#last, Math.floor(performance.now() + this.#offset)) }

  /** A version above every version that this node has made or received. */
  next (): number {
    this.#last = Math.max(this.#last + 1, this.time)
    return this.#last * NODES + this.#node
  }

  /** Takes a version of another node. */
  saw (version: number): void {
    // Two nodes with one number could give one version to two values.
    if (version % NODES === this.#node) this.#node = randomInt(NODES)
    this.follow(Math.floor(version / NODES))
  }

  /** Takes another node's time. */
  follow (time: number): void {
    this.#last = Math.max(this.#last, time)
    const now = performance.now()
    if (time > now + this.#offset) this.#offset = time - now
  }
}
