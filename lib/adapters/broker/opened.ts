/**
 * Keeps the result of one request for all callers: callers that come while it is under way share it, and a failed one
 * is made again. There is one entry for each name, and the names are those of streams.
 */
export class Opened<T> {
  readonly #known = new Map<string, Promise<T>>()

  async get (name: string, open: () => Promise<T>): Promise<T> {
    const known = this.#known.get(name)
    if (known !== undefined) return await known
    const opening = open()
    this.#known.set(name, opening)
    opening.catch(() => { if (this.#known.get(name) === opening) this.#known.delete(name) })
    return await opening
  }

  /** @param name the entry to forget; all entries without it */
  forget (name?: string): void {
    if (name === undefined) this.#known.clear()
    else this.#known.delete(name)
  }
}
