import type { HistoryPage, HistoryQuery, KeptText, PresenceChange, TextStore } from '../adapters/adapter.js'
import type { Awaitable } from '../structures/awaitable.js'
import { encodeEvent, encodeFrame, type Packet } from '../protocol/packet.js'
import type { Position } from '../protocol/position.js'
import type { GapData, JoinData } from '../protocol/server-frames.js'
import type { Retention } from '../retention/retention.js'
import type { Declaration } from './declaration.js'
import { LatestValues } from './latest-values.js'
import type { Member } from './member.js'
import type { PassedOver } from './passed-over.js'
import { Membership, type JoinPlan, type RoomOfMember } from './membership.js'
import { RoomTexts } from './room-texts.js'
import { follow, PAGE, PAGE_BYTES } from './resume.js'
import { Walk } from './walk.js'
import type { Walks } from './walks.js'

/** Is told which members an event was offered to. */
export interface Audience {
  add (member: Member): void
  /** Called when all members have been added. */
  end (): void
}

/** How a room reads what its adapter keeps. */
export interface RoomSource {
  /** Absent where no history is kept, by the declaration or because the adapter keeps none. */
  history? (query: HistoryQuery): Awaitable<HistoryPage>
  /** The texts of `append` events; absent where none is declared. */
  readonly texts?: TextStore
}

/** What a room gets from outside. */
export interface RoomHost {
  /** Of the `latest` values, and of the texts. */
  readonly retention: Retention
  readonly textRetention?: Retention
  readonly walks: Walks
  readonly source: RoomSource
  readonly passedOver?: PassedOver | undefined
  /** Called when the first of a room's texts begins to grow. */
  readonly onGrowing?: (texts: RoomTexts) => void
}

/** One room on this node: its members here, where its stream stands, and the current `latest` values. */
export class Room implements RoomOfMember {
  readonly name: string
  readonly declaration: Declaration
  readonly params: Readonly<Record<string, string>>
  readonly #source: RoomSource
  #members: Membership[] = []
  /**
   * Number of loops over the members under way: a send may cut a member, which then leaves in the middle of the loop.
   */
  #loops = 0
  /** Offers a member what a loop under way has not offered it yet; absent where the loop could not tell later. */
  #first: ((membership: Membership) => void) | undefined
  /** Number of members that were offered the event of a loop before their turn. */
  #early = 0
  /** Made when the room becomes large, or when an event has to be offered in the middle of a loop. */
  #walk: Walk<Membership> | undefined
  /** Time of the last loop over all members, by `performance.now()`. */
  #walkedAt = Number.NEGATIVE_INFINITY
  /**
   * Number of members touched last that could be sent to at once. Without a result that is kept, the compiler would
   * remove most of the loop in `lookAhead`.
   */
  reachable = 0
  readonly #walks: Walks
  readonly #joining = new Set<PresenceChange[]>()
  readonly #latest: LatestValues
  readonly texts: RoomTexts | undefined
  readonly passedOver: PassedOver | undefined
  #epoch = ''
  #top = 0
  /** Number of members, joins under way and readers that keep the subscription. */
  holds = 0
  ready: Promise<void> | undefined
  /** Whether the room is subscribed. */
  isOpened = false

  constructor (
    name: string, declaration: Declaration, params: Readonly<Record<string, string>>,
    { retention, textRetention = retention, walks, source, passedOver, onGrowing = () => {} }: RoomHost
  ) {
    this.name = name
    this.declaration = declaration
    this.params = params
    this.#latest = new LatestValues(retention, declaration.settings, (event) => {
      // Nobody would tell members of it when its user leaves.
      const packet = encodeEvent({ ...event, isRemoval: true }, '')
      this.#offer(packet, (membership) => {
        if (membership.state === 'live' && membership.isShown(event.version)) membership.member.send(packet)
      })
    })
    this.#walks = walks
    this.#source = source
    this.passedOver = passedOver
    const { settings } = declaration
    this.texts = source.texts === undefined
      ? undefined
      : new RoomTexts(name, {
        retention: textRetention,
        settings,
        rules: declaration.texts,
        store: source.texts,
        take: (packet) => { void this.event(packet) },
        onGrowing
      })
  }

  get size (): number { return this.#members.length }
  get members (): readonly Membership[] { return this.#members }
  get hasState (): boolean { return this.declaration.settings.latest }
  get hasHistory (): boolean { return this.#source.history !== undefined }
  get position (): Position { return { epoch: this.#epoch, offset: this.#top } }
  get epoch (): string { return this.#epoch }
  get top (): number { return this.#top }
  get latest (): Iterable<Packet> { return this.#latest.packets }
  get values (): LatestValues { return this.#latest }

  /**
   * Called as soon as the room is subscribed: `position` is the newest, and every event after it will arrive. Later it
   * may be an old one.
   */
  stands ({ epoch, offset }: Position): void {
    if (epoch === this.#epoch && offset < this.#top) return
    this.#epoch = epoch
    this.#top = offset
  }

  /** Called when all that members are told at first has been read. */
  opened (latest: readonly Packet[], texts: readonly KeptText[] = []): void {
    for (const packet of latest) this.#latest.set(packet)
    this.texts?.opened(texts)
    this.isOpened = true
  }

  read (since: Position): Awaitable<HistoryPage> {
    return this.#source.history!({ since, limit: PAGE, bytes: PAGE_BYTES })
  }

  /** Adds a member; `start` must follow in the same turn, after the ack. */
  add (member: Member, plan: JoinPlan): { membership: Membership, data: JoinData } {
    const position = plan.since ?? this.position
    const membership = new Membership(this, member, position, plan)
    this.#walk?.enter(membership)
    membership.index = this.#writable().push(membership) - 1
    this.declaration.active.members++
    return {
      membership,
      data: {
        ...(this.hasHistory ? position : {}),
        ...(plan.resumed === undefined ? {} : { resumed: plan.resumed }),
        ...(plan.snapshot === undefined ? {} : { members: plan.snapshot }),
        ...this.declaration.terms,
        ...(this.texts?.isGrowing === true ? { growing: this.texts.growing } : {})
      }
    }
  }

  start (membership: Membership, changes: readonly PresenceChange[]): void {
    if (membership.state === 'left') return
    for (const change of changes) this.#send(membership, change, encodePresence(this.name, change))
    this.tellHeard(membership)
    const { epoch, offset } = membership.position
    // The position may be of another epoch, because the join began while this node learned of a new epoch, or before
    // that. A read of the history tells which.
    if (!this.hasHistory || (epoch === this.#epoch && offset >= this.#top)) {
      if (this.hasHistory && membership.isBack) this.resumed(0)
      membership.live()
    } else {
      membership.catchUp()
      membership.state = 'following'
      follow(membership, this)
    }
  }

  remove (membership: Membership): boolean {
    if (membership.state === 'left') return false
    this.catchUp(membership)
    // What was due may have ended it.
    if (membership.isLeft) return false
    membership.leave()
    membership.texts?.pause(undefined)
    this.declaration.active.members--
    const members = this.#writable()
    const last = members.pop()!
    if (last !== membership) {
      members[membership.index] = last
      last.index = membership.index
    }
    return true
  }

  /**
   * Returns the list of members for a change; it is a copy while a loop walks over the old one, so that the loop
   * neither skips a member nor meets one twice.
   */
  #writable (): Membership[] {
    if (this.#loops > 0) this.#members = this.#members.slice()
    return this.#members
  }

  /**
   * Offers one event, in offset order. Members that follow the stream read it there instead.
   *
   * @param audience is told of each member before the member is offered the event
   * @returns the number of members here that are offered it; a promise where it is offered in parts
   */
  event (packet: Packet, audience?: Audience): Awaitable<number> {
    const { position } = packet
    const event = packet.event!
    if (position !== undefined) {
      this.#epoch = position.epoch
      this.#top = position.offset
    } else if (event.delivery === 'latest') {
      if (!this.#latest.set(packet)) return 0
    } else if (event.part !== undefined) return this.#grow(packet)
    if (audience !== undefined || this.#isWalked) return this.#eventInParts(packet, audience)
    const offset = position?.offset ?? Number.POSITIVE_INFINITY
    const isValue = event.delivery === 'latest'
    const version = isValue ? event.version : undefined
    const { flush } = this.declaration
    if (flush > 0) packet.detach()
    let recipients = 0
    this.#loops++
    this.#early = 0
    if (position !== undefined) this.#first = this.#inAdvance(packet, position.offset)
    const members = this.#members
    const now = performance.now()
    // The members of a loop a moment ago, in a burst, are still in the cache.
    const isCold = now - this.#walkedAt > WARM
    this.#walkedAt = now
    for (let i = 0; i < members.length; i++) {
      if (isCold && i % AHEAD === 0) this.reachable = lookAhead(members, i)
      const membership = members[i]!
      if (offset <= membership.floor) continue
      const isExcepted = event.except !== undefined && membership.isExcepted(event)
      if (membership.state === 'live') {
        if (isExcepted) {
          membership.passOver(position)
          continue
        }
        if (position !== undefined) membership.floor = offset
        if (version !== undefined && membership.knows(version)) continue
        if (isValue && membership.isReading) {
          // It is brought this one with the others.
          if (membership.isBrought(event)) recipients++
          continue
        }
        recipients++
        membership.member.send(packet, flush)
      } else if (position !== undefined && !isExcepted && membership.state === 'following') recipients++
    }
    this.#loops--
    this.#first = undefined
    recipients += this.#early
    // Of a small room the clock would cost as much as the loop.
    if (members.length >= LARGE) this.#fannedOut(now)
    return recipients
  }

  /** Makes the offer of an event to a member before its turn in the loop, which then finds it past the event. */
  #inAdvance (packet: Packet, offset: number): (membership: Membership) => void {
    return (membership) => {
      if (membership.state !== 'live' || offset <= membership.floor) return
      if (membership.isExcepted(packet.event!)) return membership.passOver(packet.position)
      membership.floor = offset
      this.#early++
      membership.member.send(packet, this.declaration.flush)
    }
  }

  #fannedOut (from: number): void { this.declaration.counted.fanOut.observe((performance.now() - from) / 1_000) }

  /** Offers a stretch of a text to those who are up to it; the others get it with what they do not have yet. */
  #grow (packet: Packet): number {
    const stretch = this.texts?.take(packet)
    if (stretch === undefined) return 0
    const { flush } = this.declaration
    const { changes } = this.texts!
    this.#offer(stretch, (membership) => {
      if (membership.state === 'live') membership.texts?.offer(stretch, changes, flush)
    })
    return this.#members.length
  }

  /**
   * Whether an event has to wait for a walk: behind earlier events that wait, behind a loop that it came in the middle
   * of, and always in a large room.
   */
  get #isWalked (): boolean {
    return this.#loops > 0 || this.#members.length > this.#walks.large || this.#walk?.isPending === true
  }

  /**
   * Makes an offer to all members, at once or by a walk.
   *
   * @param isOnce whether a member to which it was made before its turn is passed over then
   */
  #offer (packet: Packet, offer: (membership: Membership) => void, isOnce = false): void {
    if (this.#isWalked) return this.#walkWith(packet, offer, () => {})
    this.#loops++
    if (isOnce) this.#first = offer
    for (const membership of this.#members) offer(membership)
    this.#loops--
    this.#first = undefined
  }

  #walkWith (packet: Packet, offer: (membership: Membership) => void, done: () => void): void {
    packet.detach()
    this.#walk ??= new Walk({
      members: () => this.#members,
      look: (members, from) => { this.reachable = lookAhead(members, from) },
      most: MOST
    })
    this.#walk.add({ bytes: packet.bytes.length, offer, done }, this.#loops > 0)
    this.#walks.begin(this.#walk)
  }

  async #eventInParts (packet: Packet, audience: Audience | undefined): Promise<number> {
    const { flush } = this.declaration
    const event = packet.event!
    const offset = packet.position?.offset
    const isValue = event.delivery === 'latest'
    const version = isValue ? event.version : undefined
    const from = performance.now()
    let recipients = 0
    await new Promise<void>((resolve) => {
      this.#walkWith(packet, (membership) => {
        if (offset !== undefined && offset <= membership.floor) return
        const isExcepted = membership.isExcepted(event)
        if (membership.state === 'live') {
          if (isExcepted) return membership.passOver(packet.position)
          if (offset !== undefined) membership.floor = offset
          if (version !== undefined && membership.knows(version)) return
          if (isValue && membership.isReading) {
            if (membership.isBrought(event)) recipients++
            return
          }
          recipients++
          audience?.add(membership.member)
          membership.member.send(packet, flush)
        } else if (offset !== undefined && !isExcepted && membership.state === 'following') recipients++
      }, resolve)
    })
    audience?.end()
    if (this.#members.length >= LARGE) this.#fannedOut(from)
    return recipients
  }

  /** Tells that a member that came back has caught up. */
  resumed (events: number): void { this.declaration.counted.resumed.observe(events) }

  /** Offers this member what waits for it. */
  catchUp (membership: Membership): void {
    if (this.#walk?.isPending !== true) return
    if (this.#loops > 0) {
      // What came in the middle of a loop would overtake what the loop offers, and the member would miss that.
      if (this.#first === undefined) return
      this.#first(membership)
    }
    this.#walk.catchUp(membership)
  }

  /** Closes the room after its last member has left; its values are read again for the next member. */
  close (): void {
    this.#walk?.finish()
    this.#latest.close()
    this.texts?.close()
  }

  /** @param shared offset up to which a new epoch is the same as the one before */
  gap (gap: GapData, shared = gap.to): void {
    const before = this.#epoch
    this.#epoch = gap.epoch
    this.#top = gap.to
    const position = { epoch: gap.epoch, offset: gap.to }
    const packet = encodeFrame({ type: 'gap', room: this.name, data: gap }, position)
    this.#offer(packet, (membership) => {
      // A member that still follows finds the gap by reading.
      if (membership.state !== 'live') return
      // A member that joined from the broker's history before this node knew of the gap is already past it.
      const { position: { epoch }, floor } = membership
      if (epoch === gap.epoch && floor >= gap.to) return
      const isNew = gap.epoch !== before
      // It came from another node, which had more of the epoch before than this one, and is not offered that again.
      if (isNew && epoch === before && floor > gap.to) return this.#ahead(membership, gap, shared)
      membership.floor = gap.to
      membership.position = position
      // It came from a node that knew of an epoch between the two; nobody here can say what was lost since.
      if (isNew && epoch !== before && epoch !== '') membership.gap({ epoch: gap.epoch, to: gap.to })
      else membership.member.send(packet)
    }, true)
  }

  /** Lets a member go on behind what both epochs share, and tells it of a loss where it has heard more. */
  #ahead (membership: Membership, { epoch, from, to }: GapData, shared: number): void {
    const offset = Math.min(membership.floor, shared)
    const isWhole = from === to && membership.floor === offset
    membership.floor = offset
    membership.position = { epoch, offset }
    membership.gap({ epoch, ...(isWhole ? { from: offset } : {}), to: offset })
  }

  presence (change: PresenceChange): void {
    const packet = encodePresence(this.name, change)
    this.#offer(packet, (membership) => { this.#tell(membership, change, packet) })
    for (const changes of this.#joining) changes.push(change)
  }

  #tell (membership: Membership, change: PresenceChange, packet: Packet): void {
    const { state, heard } = membership
    if (state === 'left') return
    // Its list of members is still to come, and a newer change that overtook it would make it an old one.
    if (heard !== undefined) heard.push(change)
    else if (state === 'joining') membership.heard = [change]
    else if (state !== 'parked') this.#send(membership, change, packet)
  }

  tellHeard (membership: Membership): void {
    const { heard = [], state } = membership
    membership.heard = undefined
    if (state === 'left' || state === 'parked') return
    for (const change of heard) this.#send(membership, change, encodePresence(this.name, change))
  }

  #send (membership: Membership, { sequence }: PresenceChange, packet: Packet): void {
    if (sequence <= membership.sequence) return
    membership.sequence = sequence
    membership.member.send(packet)
  }

  /** Collects presence changes from now on, for a join that takes its snapshot before it becomes a member. */
  listen (): { changes: PresenceChange[], stop: () => void } {
    const changes: PresenceChange[] = []
    this.#joining.add(changes)
    return { changes, stop: () => { this.#joining.delete(changes) } }
  }
}

/**
 * Offers that may wait in one room for members that the walk has not reached, and their bytes: a member may be sent all
 * of them at once.
 */
const MOST = { offers: 256, bytes: 262_144 }
/** Members of a room whose fan-out is measured. */
const LARGE = 64
/** Milliseconds for which members stay in the cache after a loop. */
const WARM = 1
/** Number of members that are touched together. */
const AHEAD = 32

/**
 * Touches the next members before each is sent to, as the flusher does with outboxes and for the same reason: of a
 * connection in many rooms, a cache of the processor holds only what other rooms have just used.
 */
function lookAhead (members: readonly Membership[], from: number): number {
  const end = Math.min(from + AHEAD, members.length)
  let reachable = 0
  for (let i = from; i < end; i++) if (members[i]!.isReady) reachable++
  return reachable
}

function encodePresence (room: string, change: PresenceChange): Packet {
  return encodeFrame({ type: 'presence', room, data: change })
}
