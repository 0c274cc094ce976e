/** A place in at most one list at a time. The holder of a link can move or remove it without a search. */
export class Link<T> {
  readonly item: T
  list: LinkedList<T> | undefined
  before: Link<T> | undefined
  after: Link<T> | undefined

  constructor (item: T) {
    this.item = item
  }

  remove (): void { this.list?.remove(this) }
}

/** A list of links, or of objects that are links themselves, where there are many of them. */
export class LinkedList<T, L extends Link<T> = Link<T>> {
  first: L | undefined
  last: L | undefined
  #size = 0

  get size (): number { return this.#size }

  /** Moves the link to the end of this list, out of the list that it was in. */
  push (link: L): void {
    link.list?.remove(link)
    link.list = this
    link.before = this.last
    if (this.last === undefined) this.first = link
    else this.last.after = link
    this.last = link
    this.#size++
  }

  /** @param link a link of this list */
  remove (link: L): void {
    const { before, after } = link as { before: L | undefined, after: L | undefined }
    if (before === undefined) this.first = after
    else before.after = after
    if (after === undefined) this.last = before
    else after.before = before
    link.list = link.before = link.after = undefined
    this.#size--
  }

  * [Symbol.iterator] (): Generator<T> {
    for (let link: Link<T> | undefined = this.first; link !== undefined; link = link.after) yield link.item
  }
}
