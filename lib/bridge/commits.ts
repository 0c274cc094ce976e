import type { Awaitable } from '../structures/awaitable.js'

/** A record that was read. */
export interface Taken<T> {
  readonly record: T
  /** Whether nothing is left to be done for it but its commit. */
  isSettled: boolean
}

export interface CommitsOptions<T> {
  readonly commit: (record: T, more: boolean) => Awaitable<unknown>
  /** A record has left, or no commit is under way any more. */
  readonly onProgress: () => void
  /** A commit has thrown: none follows. */
  readonly onError: (error: unknown) => void
}

/** Records in the order of their source, from when they are read until they and all before them are committed. */
export class Commits<T> {
  readonly #options: CommitsOptions<T>
  readonly #taken: Array<Taken<T>> = []
  #isCommitting = false
  #hasFailed = false
  #committed = 0

  constructor (options: CommitsOptions<T>) {
    this.#options = options
  }

  /** Records that are not committed yet. */
  get size (): number { return this.#taken.length }

  /** Records that are. */
  get committed (): number { return this.#committed }

  get isCommitting (): boolean { return this.#isCommitting }

  add (record: T): Taken<T> {
    const taken = { record, isSettled: false }
    this.#taken.push(taken)
    return taken
  }

  settle (taken: Taken<T>): void {
    taken.isSettled = true
    if (!this.#isCommitting && !this.#hasFailed && this.#taken[0] === taken) void this.#run()
  }

  async #run (): Promise<void> {
    const { commit, onProgress, onError } = this.#options
    this.#isCommitting = true
    try {
      for (let first = this.#taken[0]; first?.isSettled === true; first = this.#taken[0]) {
        await commit(first.record, this.#taken[1]?.isSettled === true)
        this.#taken.shift()
        this.#committed++
        onProgress()
      }
    } catch (error) {
      this.#hasFailed = true
      onError(error)
    }
    this.#isCommitting = false
    onProgress()
  }
}
