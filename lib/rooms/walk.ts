/** Somebody to whom a walk comes. */
export interface Walked {
  /** number of the last offer that it was made */
  seen: number
}

/** What every member of a room is offered. */
export interface Offer<M extends Walked> {
  /** bytes that wait with it */
  readonly bytes: number
  offer (member: M): void
  /** All members have been offered it, but for those who came behind it. */
  done (): void
}

export interface WalkOptions<M extends Walked> {
  /** who is there now; one that goes leaves its place to the last */
  readonly members: () => readonly M[]
  /** called before the members at `from` up to `to` are walked */
  readonly look: (members: readonly M[], from: number, to: number) => void
  /** offers, and bytes of them, that may wait */
  readonly most: { readonly offers: number, readonly bytes: number }
}

/** Members between two looks at the time. */
const STRIDE = 32

/**
 * Offers that are made to the members of one large room in parts. Offers are numbered, and each member knows the last
 * one that it was made: so each gets all that were added while it was a member, once and in their order, whoever comes,
 * goes or is caught up meanwhile. The walk goes from the last member to the first, since whoever goes leaves its place
 * to one that the walk has met. Pure: it has no clock and no timer.
 */
export class Walk<M extends Walked> {
  readonly #options: WalkOptions<M>
  #offers: Array<Offer<M>> = []
  #bytes = 0
  /** number of the newest offer */
  #last = 0
  /** the offers up to this one end with the round under way */
  #round = 0
  /** members that the round has not met */
  #left = 0

  constructor (options: WalkOptions<M>) {
    this.#options = options
  }

  get isPending (): boolean { return this.#offers.length > 0 }

  /** Whoever comes now is told of nothing that was offered before. */
  enter (member: M): void { member.seen = this.#last }

  /**
   * Behind all offers before it. Where too many wait already, the oldest is made to all members at once.
   *
   * @param isAnyNumber nobody may be offered anything now: it waits with however many there are
   */
  add (offer: Offer<M>, isAnyNumber = false): void {
    this.#offers.push(offer)
    this.#bytes += offer.bytes
    this.#last++
    if (this.#offers.length === 1) this.#begin()
    if (isAnyNumber) return
    const { offers, bytes } = this.#options.most
    // In its place before, so that what is added while the oldest is offered comes behind it.
    while (this.#offers.length > offers || (this.#bytes > bytes && this.#offers.length > 1)) this.#finish(this.#first)
  }

  /** What waits for this member is offered to it now. */
  catchUp (member: M, upTo = this.#last): void {
    // An offer may end the member, which is caught up by that as well.
    while (member.seen < upTo) {
      const next = Math.max(member.seen + 1, this.#first)
      member.seen = next
      this.#offers[next - this.#first]?.offer(member)
    }
  }

  /** @returns whether more is to be done, when `isOver` says that the time is over */
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

  /** All offers are made at once. */
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
