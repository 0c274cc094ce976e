import type { Adapter, PresenceChange, PresenceEntry, PresenceSnapshot, PresenceStore } from '../adapters/adapter.js'
import type { Position } from '../protocol/position.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { ResolvedRoom } from './declarations.js'
import type { KnownTexts } from './known-texts.js'
import type { Member } from './member.js'
import type { PassedOver } from './passed-over.js'
import type { JoinData } from '../protocol/server-frames.js'
import type { JoinPlan, Membership, RoomOfMember } from './membership.js'
import type { PresenceKeeper } from './presence.js'
import type { Room } from './room.js'

/** One room that a connection enters, found and allowed. */
export interface RequestedRoom { readonly name: string, readonly found: ResolvedRoom, readonly request: JoinRequest }

export interface JoinRequest {
  readonly since?: Position | undefined
  readonly last?: number | undefined
  /** Ids of the connections that the member had before a break, joined by commas. */
  readonly former?: string | undefined
  /** Version of the `latest` values that the member knows. */
  readonly version?: number | undefined
  /** What the member has of the room's texts. */
  readonly known?: KnownTexts | undefined
  /** Sequence of the newest presence that the member knows. */
  readonly sequence?: number | undefined
}

/** A join between its admission and its ack. Exactly one of `commit` and `cancel` is called. */
export interface PendingJoin {
  readonly room: Room
  readonly resumed: boolean | undefined
  /** Makes the member present; its snapshot goes into the ack. */
  announce (entry: PresenceEntry): Promise<void>
  commit (member: Member): { membership: Membership, data: JoinData, start: () => void }
  cancel (): void
}

/** The data for a member that continues, and a function that lets its events in behind that. */
export interface Rejoined { readonly data: JoinData, readonly start: () => void }

export interface JoiningHost {
  readonly adapter: Adapter
  readonly presence: PresenceKeeper | undefined
  /** Users that one presence list holds; above that number it only has counts. */
  readonly presenceList: number
  readonly passedOver: PassedOver
  /** Called for each member that enters a room. */
  readonly onEntered: (room: Room) => void
}

/** Where a member begins. */
interface Start { readonly since?: Position | undefined, readonly resumed?: boolean | undefined }

/** Decides where members begin to read, makes the data that they get of a room, and announces them to the others. */
export class Joining {
  readonly #adapter: Adapter
  readonly #presence: PresenceKeeper | undefined
  readonly #presenceList: number
  readonly #passedOver: PassedOver
  readonly #onEntered: (room: Room) => void

  constructor ({ adapter, presence, presenceList, passedOver, onEntered }: JoiningHost) {
    this.#adapter = adapter
    this.#presence = presence
    this.#presenceList = presenceList
    this.#passedOver = passedOver
    this.#onEntered = onEntered
  }

  /**
   * Decides where a member begins: at its position where the history still has that, or where everything that it lacks
   * behind that left it out; otherwise at the newest event.
   */
  async plan (room: RoomOfMember, request: JoinRequest, userId: string): Promise<Start> {
    const { since, last } = request
    if (!room.hasHistory || this.#adapter.history === undefined) return since === undefined ? {} : { resumed: false }
    const { settings } = room.declaration
    if (since !== undefined) {
      const place = await this.#place(room, since, request, userId)
      if (place !== undefined) return { since: place, resumed: true }
    }
    const resumed = since === undefined ? undefined : false
    if (last === undefined || last === 0) return { resumed }
    const { size } = settings.history as { size: number }
    const { events, top } = await this.#adapter.history(
      room.name,
      { last: Math.min(last, size), limit: size, bytes: 1 },
      settings
    )
    const first = events[0]?.position
    return { since: first === undefined ? top : { epoch: top.epoch, offset: first.offset - 1 }, resumed }
  }

  /** Returns where a member that stands at `since` reads on, so that it loses nothing; `undefined`: it has. */
  async #place (
    { name, declaration: { settings } }: RoomOfMember,
    since: Position,
    { former }: JoinRequest,
    userId: string
  ): Promise<Position | undefined> {
    const isKept = async (from: Position): Promise<boolean> => {
      return (await this.#adapter.history!(name, { since: from, limit: 1 }, settings)).resumed
    }
    if (await isKept(since)) return since
    const behind = this.#passedOver.behind(name, userId, former, since)
    return behind.offset > since.offset && await isKept(behind) ? behind : undefined
  }

  /**
   * Makes the join that has to be committed or cancelled.
   *
   * @param since where the member reads on; absent to begin live at the top
   * @param release called when the join is cancelled
   */
  pending (
    room: Room,
    { since, resumed }: Start,
    request: JoinRequest,
    release: (room: Room) => void
  ): PendingJoin {
    let snapshot: PresenceSnapshot | undefined
    let entry: PresenceEntry | undefined
    let changes: PresenceChange[] = []
    let stop: (() => void) | undefined
    return {
      room,
      resumed,
      announce: async (present) => {
        if (this.#presence === undefined) return
        entry = this.#presence.fenced(present);
        ({ changes, stop } = room.listen())
        entry = await this.#presence.join(room.name, entry)
        if (request.former !== undefined) this.#presence.succeed(room.name, entry, request.former)
        const taken = this.#adapter.presence!.snapshot(room.name, this.#presenceList)
        snapshot = taken instanceof Promise ? await taken : taken
      },
      commit: (member) => {
        stop?.()
        const { former, known } = request
        const plan: JoinPlan = {
          since,
          resumed,
          former,
          version: versionOf(room, request, resumed),
          known,
          snapshot,
          isReturn: (request.since ?? request.version ?? former) !== undefined
        }
        const { membership, data } = room.add(member, plan)
        membership.entry = entry
        for (const change of changes) this.#presence?.changed([membership], change)
        this.#onEntered(room)
        const { members, ...rest } = data
        return {
          membership,
          data: members === undefined || members.sequence === request.sequence ? rest : data,
          start: () => { room.start(membership, changes) }
        }
      },
      cancel: () => {
        stop?.()
        if (entry !== undefined) this.#presence?.leave(room.name, entry, false)
        release(room)
      }
    }
  }

  /**
   * Continues with a member at the position that its next poll names, or that its client names after a reconnect.
   *
   * @param isContinued whether it polls without a break: what it reads then counts as delivered and not as resumed
   */
  rejoin (membership: Membership, request: JoinRequest, isContinued: boolean): Awaitable<Rejoined> {
    const { room } = membership
    const store = room.declaration.hasPresence ? this.#adapter.presence : undefined
    return store === undefined && isAtTop(room, request)
      ? this.#rejoined(membership, request, isContinued, { since: request.since, resumed: true })
      : this.#rejoinLater(membership, request, isContinued, store)
  }

  async #rejoinLater (
    membership: Membership,
    request: JoinRequest,
    isContinued: boolean,
    store: PresenceStore | undefined
  ): Promise<Rejoined> {
    const { room } = membership
    const plan = isAtTop(room, request)
      ? { since: request.since, resumed: true }
      : await this.plan(room, request, membership.userId)
    const snapshot = store && await this.#listFor(membership, store)
    return this.#rejoined(membership, request, isContinued, plan, snapshot)
  }

  #rejoined (
    membership: Membership,
    request: JoinRequest,
    isContinued: boolean,
    { since, resumed }: { readonly since?: Position | undefined, readonly resumed?: boolean | undefined },
    snapshot?: PresenceSnapshot
  ): Rejoined {
    const { room } = membership
    const position = since ?? room.position
    const isResumed = !room.hasHistory || resumed !== false
    const knowing = { version: versionOf(room, request, resumed), known: request.known, isResumed }
    membership.unpark(position, knowing, snapshot?.sequence, isContinued)
    return {
      data: {
        ...(room.hasHistory ? position : undefined),
        ...(resumed === undefined ? undefined : { resumed }),
        ...(snapshot === undefined || snapshot.sequence === request.sequence ? undefined : { members: snapshot }),
        ...room.declaration.terms,
        ...(room.texts?.isGrowing === true ? { growing: room.texts.growing } : undefined)
      },
      start: () => { room.start(membership, []) }
    }
  }

  /** Reads the list of members for one of them, who hears of each change behind it once he starts. */
  async #listFor (membership: Membership, store: PresenceStore): Promise<PresenceSnapshot> {
    membership.heard = []
    try {
      return await store.snapshot(membership.name, this.#presenceList)
    } catch (error) {
      membership.room.tellHeard(membership)
      throw error
    }
  }
}

/**
 * Whether a member stands where the room on this node does, which is open because of it: then nothing has to be read to
 * know that it has missed nothing.
 */
function isAtTop ({ hasHistory, position }: RoomOfMember, { since }: JoinRequest): boolean {
  return hasHistory && since !== undefined && since.epoch === position.epoch && since.offset === position.offset
}

/**
 * Up to which version a member knows the `latest` values. One that is not resumed lets its state go, values included.
 */
function versionOf (
  { hasHistory }: RoomOfMember,
  { version }: JoinRequest,
  resumed: boolean | undefined
): number | undefined {
  return hasHistory && resumed === false ? undefined : version
}
