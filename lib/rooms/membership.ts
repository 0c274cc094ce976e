import type { PresenceChange, PresenceEntry, PresenceSnapshot } from '../adapters/adapter.js'
import type { Refusal } from '../errors/refusal.js'
import { isConnectionId } from '../protocol/cursor.js'
import { isLeftOut, type Offered } from '../protocol/except.js'
import { encodeFrame, type EventHead, type Packet } from '../protocol/packet.js'
import type { Position } from '../protocol/position.js'
import type { GapData } from '../protocol/server-frames.js'
import type { TokenBucket } from '../structures/token-bucket.js'
import type { Declaration } from './declaration.js'
import type { KnownTexts } from './known-texts.js'
import type { LatestValues } from './latest-values.js'
import { sendMissed, type Member } from './member.js'
import type { PassedOver, Stretch } from './passed-over.js'
import type { Follower } from './resume.js'
import type { RoomTexts } from './room-texts.js'
import { TextReader } from './text-reader.js'
import { ValueReader } from './value-reader.js'
import type { Walked } from './walk.js'

export interface JoinPlan {
  /** Position to read on from; absent to begin live at the top. */
  readonly since: Position | undefined
  /** Answer to a requested `since`; absent when none was requested. */
  readonly resumed: boolean | undefined
  readonly snapshot: PresenceSnapshot | undefined
  /** Former connections of the member, joined by commas: an event that excludes one of them excludes the member. */
  readonly former: string | undefined
  /** The member knows the `latest` values up to this version. */
  readonly version: number | undefined
  /** What the member has of the room's texts. */
  readonly known?: KnownTexts | undefined
  /** Whether the member may have been here before, so that it may know values that were removed since. */
  readonly isReturn: boolean
}

/** What a member that begins again has of the state of its room. */
export interface Knowing {
  /** The `latest` values up to this version. */
  readonly version?: number | undefined
  readonly known?: KnownTexts | undefined
  /** Whether it keeps what it was shown; one that cannot read on from where it stood lets it go. */
  readonly isResumed?: boolean | undefined
}

/** The parts of a room that its members need. */
export interface RoomOfMember {
  readonly name: string
  readonly declaration: Declaration
  readonly params: Readonly<Record<string, string>>
  readonly hasHistory: boolean
  /** Position of the newest event. */
  readonly position: Position
  /** The current `latest` values. */
  readonly values: Pick<LatestValues, 'late' | 'newest' | 'show'>
  /** The texts of `append` events; absent where none is declared. */
  readonly texts: RoomTexts | undefined
  /** Remembers which events left members out; absent where nobody asks. */
  readonly passedOver: PassedOver | undefined
  /** Offers a member what waits for it. */
  catchUp (membership: Membership): void
  /** Lets events in behind the ack, after the changes of presence that came before it. */
  start (membership: Membership, changes: readonly PresenceChange[]): void
  /** Tells a member the changes of presence that it has heard of. */
  tellHeard (membership: Membership): void
  /** @returns false when it has left already */
  remove (membership: Membership): boolean
}

const NONE = [0, 0] as const
/**
 * Milliseconds for which a member is not told values that it knows by their versions, because its node had heard less.
 */
const BEHIND = 5_000

/** One member's place in one room. */
export class Membership implements Follower, Walked, Offered {
  // The fields that each event needs come first, so that they share one cache line of the processor: there are as many
  // memberships as members in all rooms.
  readonly member: Member
  /** The events up to this offset have been offered. */
  floor = 0
  seen = 0
  /** `parked` means that the member polls and is between two polls. */
  state: 'joining' | 'following' | 'live' | 'parked' | 'left' = 'joining'
  readonly name: string
  readonly room: RoomOfMember
  former: string | undefined
  position: Position
  turn = 0
  sequence: number
  index = -1
  /** Its entry in the room's presence. */
  entry: PresenceEntry | undefined
  /** Whether the server made it join, so that `authorize` does not check it again. */
  isByServer = false
  /** Why the server has taken it out of the room. */
  lost: Refusal | undefined
  /** What the application sent to the joining member; it goes out behind the replay. */
  held: Packet[] | undefined
  /** Changes of presence since its list of members was asked for; they go out when it starts. */
  heard: PresenceChange[] | undefined
  #known: number | undefined
  /** Number of late `latest` values that it has been shown up to the last answer but one, and up to the last one. */
  #late: readonly [before: number, last: number] = NONE
  /** Brings it the `latest` values, until it has them all. */
  #values: ValueReader | undefined
  /** The last events that left it out, made for the first one. */
  #stretch: Stretch | undefined
  /** Version up to which it knows the values, where its node had heard less, and until when that is heeded. */
  #ahead: { readonly version: number, readonly until: number } | undefined
  /** Brings it the room's texts, where the room has such. */
  readonly texts: TextReader | undefined
  /** Whether it is told of removals. */
  #isReturn: boolean
  /** Whether it polls without a break: what it reads then counts as delivered and not as resumed. */
  #isContinued = false
  /** Number of polls, this one included, in which it has had nothing because other rooms had filled the answer. */
  waited = 1
  /** Whether what it has missed waits, since it began, for its link to drain. */
  isHeldBack = false
  /** The bucket of the room's own rate, where the room declares one; the dispatcher keeps it. */
  bucket: TokenBucket | undefined

  constructor (room: RoomOfMember, member: Member, position: Position, plan: JoinPlan) {
    const { snapshot, former, version, known, isReturn } = plan
    this.name = room.name
    this.room = room
    this.member = member
    this.position = position
    this.sequence = snapshot?.sequence ?? 0
    this.former = former
    this.#known = version
    const { texts, declaration: { flush } } = room
    this.texts = texts === undefined ? undefined : new TextReader(member, texts, known, flush)
    this.#isReturn = isReturn
  }

  get isReady (): boolean { return this.state === 'live' && this.member.isReady === true }
  get isLeft (): boolean { return this.state === 'left' }
  get isGone (): boolean { return this.isLeft || this.state === 'parked' || !this.member.isOpen }

  get isBack (): boolean { return this.#isReturn && !this.#isContinued }

  /** Up to where it was offered the events of a room with a history; those that leave it out count as offered. */
  get place (): Position | undefined {
    const { hasHistory, position } = this.room
    if (!hasHistory) return undefined
    return this.state === 'live' ? { epoch: position.epoch, offset: this.floor } : this.position
  }

  isExcepted ({ except }: EventHead): boolean {
    return except !== undefined && isLeftOut(except, this)
  }

  /** Passes a live member over an event that leaves it out: it has not missed that. */
  passOver (position: Position | undefined): void {
    if (position === undefined) return
    this.#passTo(position, this.floor)
    this.floor = position.offset
  }

  /** @param from offset of the event before, which may be the last one that it was sent */
  #passTo ({ epoch, offset }: Position, from: number): void {
    const stretch = this.#stretch
    if (stretch === undefined) {
      this.#stretch = { userId: this.userId, epoch, from, to: offset }
      this.room.passedOver?.add(this.name, this.member.id, this.#stretch)
      return
    }
    if (stretch.to !== from || stretch.epoch !== epoch) stretch.from = from
    stretch.epoch = epoch
    stretch.to = offset
  }

  /** Ends it. What it was left out of is remembered from now on as what was noted last. */
  leave (): void {
    this.state = 'left'
    this.#values = undefined
    if (this.#stretch !== undefined) this.room.passedOver?.add(this.name, this.member.id, this.#stretch)
  }

  get userId (): string { return this.member.userId }

  /** Whether it is the connection, or was it before it came back. */
  isConnection (id: string): boolean {
    if (id === this.member.id) return true
    // Ids have one length and no comma, so that none of them is found where it is not listed.
    return this.former !== undefined && this.former.includes(id) && isConnectionId(id)
  }

  /** Whether its connection is in a room. */
  isIn (room: string): boolean { return room === this.name || this.member.rooms?.get(room) !== undefined }

  /**
   * Offers it now what a walk of its room has not offered it yet. This is called before another frame is sent to it and
   * before its state changes.
   */
  catchUp (): void { this.room.catchUp(this) }

  /**
   * Parks it between two polls: it is offered no events, since the next poll reads them from the position in its
   * cursor.
   */
  park (): void {
    this.catchUp()
    if (this.state === 'left') return
    if (this.state === 'live') this.#answered((this.#values ?? this.room.values).late)
    this.state = 'parked'
    this.#values = undefined
    this.heard = undefined
    this.texts?.pause(undefined)
  }

  /**
   * Late values do not move a cursor, so that the next one does not tell whether this answer was lost: each of them is
   * in two answers.
   */
  #answered (late: number): void {
    const [before, last] = this.#late
    // An answer that was full may have had less of them than the one before.
    if (before !== late) this.#late = [Math.min(last, late), late]
  }

  /** Lets it begin again where its peer stands, for the next poll or behind a break; `start` must follow. */
  unpark (
    position: Position,
    { version, known, isResumed = true }: Knowing,
    sequence: number | undefined,
    isContinued: boolean
  ): void {
    // The server may have removed it while the poll was being prepared.
    if (this.state === 'left') return
    this.catchUp()
    this.position = position
    this.turn++
    this.#values = undefined
    this.waited++
    this.isHeldBack = false
    this.floor = 0
    this.#known = version
    if (!isContinued || !isResumed) this.#late = NONE
    this.#isReturn = true
    this.sequence = sequence ?? this.sequence
    this.state = 'joining'
    this.#isContinued = isContinued
    this.texts?.pause(known)
  }

  replay (packet: Packet): boolean {
    this.waited = 0
    if (this.isExcepted(packet.event!)) {
      this.#passTo(packet.position!, this.position.offset)
      return true
    }
    this.member.replayed?.(packet.bytes.length)
    return sendMissed(this.member, this.#isContinued ? packet : packet.replay, this.flush)
  }

  get flush (): number { return this.room.declaration.flush }

  /** Whether the `latest` values are still being brought to it, those that are set meanwhile among them. */
  get isReading (): boolean { return this.#values !== undefined }

  /** Whether it will be brought a value that is set meanwhile, or a removal: nothing is removed for who has nothing. */
  isBrought ({ isRemoval }: EventHead): boolean { return isRemoval !== true || this.#values?.isReturn !== false }

  /** Whether it may have been shown a value of this version. */
  isShown (version: number | undefined): boolean { return this.#values?.has(version) !== false }

  /** Whether it was told a value, or a newer one, by the node from which it comes. */
  knows (version: number): boolean {
    if (this.#ahead === undefined) return false
    if (version <= this.#ahead.version && performance.now() < this.#ahead.until) return true
    this.#ahead = undefined
    return false
  }

  get hasRoom (): boolean { return this.member.hasRoom !== false }

  hasRoomFor (bytes: number): boolean { return this.member.hasRoomFor?.(bytes) !== false }

  whenDrained (callback: () => void, isFirst?: boolean): void {
    this.isHeldBack = true
    this.member.whenDrained(callback, isFirst)
  }

  gap (gap: GapData): void {
    this.member.send(encodeFrame({ type: 'gap', room: this.name, data: gap }, { epoch: gap.epoch, offset: gap.to }))
  }

  live (): void {
    this.catchUp()
    this.state = 'live'
    this.floor = this.position.offset
    const { newest } = this.room.values
    this.#ahead = this.#known === undefined || this.#known <= newest
      ? undefined
      : { version: this.#known, until: performance.now() + BEHIND }
    if (!this.room.declaration.settings.latest) return this.#letIn()
    const known = { version: this.#known, late: this.#late[0] }
    this.#values = new ValueReader(this, this.room.values, known, this.#isReturn)
    this.#bring(this.#values)
  }

  #bring (values: ValueReader): void {
    // What a walk has not offered yet is among the values, and would come behind them.
    this.catchUp()
    const hadAll = values.hasAll
    const brought = values.bring()
    // The link may have been cut for what was sent.
    if (this.#values !== values) return
    if (brought === 'all') this.#values = undefined
    if (brought !== 'none') this.waited = 0
    // On a link that is slower than the values change, more of them would always come first.
    if (values.hasAll && !hadAll) this.#letIn()
    if (brought === 'all') return
    this.member.whenDrained(() => {
      if (this.#values === values && this.member.isOpen) this.#bring(values)
    }, brought === 'none')
  }

  /** Lets in what comes behind the values. */
  #letIn (): void {
    if (this.texts?.live() === true) this.waited = 0
    const { held } = this
    this.held = undefined
    if (held === undefined) return
    for (const packet of held) {
      if (this.member.sendKept === undefined) this.member.send(packet)
      else this.member.sendKept(packet)
    }
  }
}
