/** What a connection keeps of a room that it is in; only the owner knows more of it. */
export interface Named { readonly name: string }

/**
 * A few handles by name. Most connections are in one or two rooms, for which a `Map` or an array would cost too much.
 */
export class NamedSet<H extends Named> {
  #first: H | undefined
  #second: H | undefined
  #more: Map<string, H> | undefined

  get size (): number {
    return (this.#first === undefined ? 0 : 1) + (this.#second === undefined ? 0 : 1) + (this.#more?.size ?? 0)
  }

  get (name: string): H | undefined {
    if (this.#first?.name === name) return this.#first
    if (this.#second?.name === name) return this.#second
    return this.#more?.get(name)
  }

  add (handle: H): void {
    if (this.#first === undefined) this.#first = handle
    else if (this.#second === undefined) this.#second = handle
    else (this.#more ??= new Map()).set(handle.name, handle)
  }

  delete (name: string): H | undefined {
    const handle = this.get(name)
    if (handle === undefined) return undefined
    if (this.#first === handle) this.#first = undefined
    else if (this.#second === handle) this.#second = undefined
    else this.#more!.delete(name)
    return handle
  }

  /** All handles as a copy, because their owners leave rooms while they walk through it. */
  all (): H[] {
    const [first, second, more] = [this.#first, this.#second, this.#more]
    // A list that is written at once takes no room to grow, and polls ask for several of them each time.
    const few = first === undefined
      ? second === undefined ? [] : [second]
      : second === undefined ? [first] : [first, second]
    return more === undefined ? few : [...few, ...more.values()]
  }
}
