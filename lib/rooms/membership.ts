import type { PresenceChange, PresenceEntry, PresenceSnapshot } from '../adapters/adapter.js'
import { encodeFrame, type EventHead, type Packet } from '../protocol/packet.js'
import type { Position } from '../protocol/position.js'
import type { GapData } from '../protocol/server-frames.js'
import type { TokenBucket } from '../structures/token-bucket.js'
import type { Declaration } from './declaration.js'
import type { Member } from './member.js'
import type { Follower } from './resume.js'
import type { Walked } from './walk.js'

export interface JoinPlan {
  /** read on from here; absent: live from the top */
  readonly since: Position | undefined
  /** answer to a `since` that was asked; absent when none was */
  readonly resumed: boolean | undefined
  readonly snapshot: PresenceSnapshot | undefined
  /** connections that the member was before, joined by commas: what left one of them out leaves it out now */
  readonly former: string | undefined
  /** `latest` values up to this version are known to the member */
  readonly version: number | undefined
}

/** The room, as far as its members need to know it. */
export interface RoomOfMember {
  readonly name: string
  readonly declaration: Declaration
  readonly params: Readonly<Record<string, string>>
  readonly hasHistory: boolean
  /** of the newest event */
  readonly position: Position
  /** the current `latest` values */
  readonly latest: Iterable<Packet>
  /** Offers a member what waits for it. */
  catchUp (membership: Membership): void
  /** Lets events in, behind the ack; first the changes of presence that came before it. */
  start (membership: Membership, changes: readonly PresenceChange[]): void
  /** @returns false when it has left by now */
  remove (membership: Membership): boolean
}

/** One member's place in one room. */
export class Membership implements Follower, Walked {
  // What each event needs comes first, to be in one line of the processor's cache: there are as many as members in all
  // rooms.
  readonly member: Member
  /** events up to here have been offered */
  floor = 0
  seen = 0
  /** `parked`: the member polls, and is between two polls */
  state: 'joining' | 'following' | 'live' | 'parked' | 'left' = 'joining'
  readonly name: string
  readonly room: RoomOfMember
  former: string | undefined
  position: Position
  turn = 0
  sequence: number
  index = -1
  /** its entry in the room's presence */
  entry: PresenceEntry | undefined
  /** joined by the server: not checked by `authorize` again */
  isByServer = false
  /** what the application sent to the joining member: goes out behind the replay */
  held: Packet[] | undefined
  #known: number | undefined
  /** it polls on: what it reads is delivered, not resumed after a break */
  #isContinued = false
  /** the room's own rate bucket, where it declares one; kept by the dispatcher */
  bucket: TokenBucket | undefined

  constructor (room: RoomOfMember, member: Member, position: Position, { snapshot, former, version }: JoinPlan) {
    this.name = room.name
    this.room = room
    this.member = member
    this.position = position
    this.sequence = snapshot?.sequence ?? 0
    this.former = former
    this.#known = version
  }

  get isReady (): boolean { return this.state === 'live' && this.member.isReady === true }
  get isGone (): boolean { return this.state === 'left' || this.state === 'parked' || !this.member.isOpen }

  isExcepted ({ except }: EventHead): boolean {
    if (except === undefined) return false
    if (except.connection !== this.member.id && this.former?.split(',').includes(except.connection) !== true) {
      return false
    }
    return except.user === undefined || except.user === this.member.userId
  }

  /**
   * What its room has not yet come to offer it is offered now: before anything else is said, and before its state
   * changes.
   */
  catchUp (): void { this.room.catchUp(this) }

  /** Between two polls: events are not offered, the next poll reads them from where its cursor says. */
  park (): void {
    this.catchUp()
    if (this.state !== 'left') this.state = 'parked'
  }

  /** The next poll. */
  unpark (position: Position, version: number | undefined, sequence: number | undefined, isContinued: boolean): void {
    // The server may have taken it out while the poll was being answered for.
    if (this.state === 'left') return
    this.catchUp()
    this.position = position
    this.turn++
    this.floor = 0
    this.#known = version
    this.sequence = sequence ?? this.sequence
    this.state = 'joining'
    this.#isContinued = isContinued
  }

  replay (packet: Packet): boolean {
    if (this.isExcepted(packet.event!)) return true
    this.member.replayed?.(packet.bytes.length)
    return this.member.send(this.#isContinued ? packet : packet.replay)
  }

  whenDrained (callback: () => void): void { this.member.whenDrained(callback) }

  gap (gap: GapData): void {
    this.member.send(encodeFrame({ type: 'gap', room: this.name, data: gap }, { epoch: gap.epoch, offset: gap.to }))
  }

  live (): void {
    this.catchUp()
    this.state = 'live'
    this.floor = this.position.offset
    for (const packet of this.room.latest) {
      const { version } = packet.event!
      if ((this.#known !== undefined && version !== undefined && version <= this.#known) ||
        this.isExcepted(packet.event!)) {
        continue
      }
      this.member.replayed?.(packet.bytes.length)
      this.member.send(packet)
    }
    const { held } = this
    this.held = undefined
    if (held !== undefined) for (const packet of held) this.member.send(packet)
  }
}
