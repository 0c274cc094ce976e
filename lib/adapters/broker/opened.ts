/**
 * What was asked for once and is kept for all who ask: those who come while it is under way share it, and one that
 * failed is asked for anew. It holds one entry for each name, and names are those of streams.
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

  /** @param name all of them without it */
  forget (name?: string): void {
    if (name === undefined) this.#known.clear()
    else this.#known.delete(name)
  }
}
