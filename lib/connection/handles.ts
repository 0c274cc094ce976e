/** What a connection keeps of a room that it is in; what it means is its owner's business. */
export interface Handle { readonly name: string }

/** A few handles by name: most connections are in one or two rooms, for which a `Map` costs more than it finds. */
export class Handles<H extends Handle> {
  #list: H[] = []
  #map: Map<string, H> | undefined

  get size (): number { return this.#map?.size ?? this.#list.length }

  get (name: string): H | undefined {
    if (this.#map !== undefined) return this.#map.get(name)
    for (const handle of this.#list) if (handle.name === name) return handle
    return undefined
  }

  add (handle: H): void {
    if (this.#map === undefined && this.#list.length === 8) {
      this.#map = new Map(this.#list.map((each) => [each.name, each]))
      this.#list = []
    }
    if (this.#map !== undefined) this.#map.set(handle.name, handle)
    else this.#list.push(handle)
  }

  delete (name: string): H | undefined {
    const handle = this.get(name)
    if (handle === undefined) return undefined
    if (this.#map !== undefined) this.#map.delete(name)
    else this.#list.splice(this.#list.indexOf(handle), 1)
    return handle
  }

  /** a copy: owners leave rooms while they walk */
  all (): H[] {
    return this.#map === undefined ? this.#list.slice() : [...this.#map.values()]
  }
}
