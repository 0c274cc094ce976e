/** A member that a walk can visit. */
export interface Walked {
  /** Number of the last offer that was made to it. */
  seen: number
}

/** What every member of a room is offered. */
export interface Offer<M extends Walked> {
  /** Bytes of memory that it holds while it waits. */
  readonly bytes: number
  offer (member: M): void
  /** Called when the offer was made to all members, except those that joined after it. */
  done (): void
}

export interface WalkOptions<M extends Walked> {
  /** The present members. When one leaves, the last member takes its place. */
  readonly members: () => readonly M[]
  /** Called before the members from `from` up to `to` are visited. */
  readonly look: (members: readonly M[], from: number, to: number) => void
  /** Offers that may wait, and their bytes. */
  readonly most: { readonly offers: number, readonly bytes: number }
}

/** Number of members between two readings of the time. */
const STRIDE = 32

/**
 * Makes offers to the members of one large room in parts. Offers are numbered, and each member knows the last one that
 * was made to it. So each member gets all offers that were added while it was a member, once and in order, although
 * members join, leave or are caught up meanwhile. The walk goes from the last member to the first, because a member
 * that leaves is replaced by one that the walk has visited. This class has no clock and no timer.
 */
export class Walk<M extends Walked> {
  readonly #options: WalkOptions<M>
  #offers: Array<Offer<M>> = []
  #bytes = 0
  /** Number of the newest offer. */
  #last = 0
  /** The offers up to this number are complete when the present round ends. */
  #round = 0
  /** Number of members that the round has not visited. */
  #left = 0

  constructor (options: WalkOptions<M>) {
    this.#options = options
  }

  get isPending (): boolean { return this.#offers.length > 0 }

  /** Adds a member, which gets no offer from before. */
  enter (member: M): void { member.seen = this.#last }

  /**
   * Adds an offer behind all earlier ones. Where too many wait already, the oldest is made to all members at once.
   *
   * @param isAnyNumber whether the offer waits however many there are, because no offer may be made at this moment
   */
  add (offer: Offer<M>, isAnyNumber = false): void {
    this.#offers.push(offer)
    this.#bytes += offer.bytes
    this.#last++
    if (this.#offers.length === 1) this.#begin()
    if (isAnyNumber) return
    const { offers, bytes } = this.#options.most
    // The new offer takes its place first, so that an offer that is added while the oldest is made comes behind it.
    while (this.#offers.length > offers || (this.#bytes > bytes && this.#offers.length > 1)) this.#finish(this.#first)
  }

  /** Makes the offers that wait for this member now. */
  catchUp (member: M, upTo = this.#last): void {
    // An offer may end the member, which catches it up as well.
    while (member.seen < upTo) {
      const next = Math.max(member.seen + 1, this.#first)
      member.seen = next
      this.#offers[next - this.#first]?.offer(member)
    }
  }

  /** @returns whether there is more to do when `isOver` says that the time is over */
  step (isOver: () => boolean): boolean {
    while (this.isPending) {
      const members = this.#options.members()
      const from = Math.min(this.#left, members.length)
      const to = Math.max(0, from - STRIDE)
      this.#options.look(members, to, from)
      for (this.#left = from; this.#left > to && this.#left <= members.length; this.#left--) {
        this.catchUp(members[this.#left - 1]!)
      }
      if (this.#left === 0) {
        this.#settle(this.#round)
        this.#begin()
      }
      if (isOver()) return this.isPending
    }
    return false
  }

  /** Makes all offers at once. */
  finish (): void { while (this.isPending) this.#finish(this.#last) }

  get #first (): number { return this.#last - this.#offers.length + 1 }

  #begin (): void {
    this.#round = this.#last
    this.#left = this.#options.members().length
  }

  #finish (upTo: number): void {
    const members = this.#options.members()
    for (let at = members.length; at > 0; at = Math.min(at - 1, members.length)) this.catchUp(members[at - 1]!, upTo)
    this.#settle(upTo)
  }

  #settle (upTo: number): void {
    const done = this.#offers.splice(0, Math.max(0, upTo - this.#first + 1))
    for (const offer of done) {
      this.#bytes -= offer.bytes
      offer.done()
    }
  }
}
