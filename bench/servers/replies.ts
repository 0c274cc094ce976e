/** Open answers by room, as people keep them by hand. */
export class Replies<R> {
  readonly #rooms = new Map<string, Set<R>>()

  of (room: string): ReadonlySet<R> { return this.#rooms.get(room) ?? new Set() }

  /** @returns takes it out again */
  enter (reply: R, rooms: readonly string[]): () => void {
    for (const room of rooms) {
      const replies = this.#rooms.get(room)
      if (replies === undefined) this.#rooms.set(room, new Set([reply]))
      else replies.add(reply)
    }
    return () => { for (const room of rooms) this.#rooms.get(room)?.delete(reply) }
  }
}
