import type { Admitted } from '../admission/admission.js'
import type { Peer } from '../admission/peer.js'
import { LINK_BUFFER } from '../connection/link.js'
import type { TakenRooms } from '../dispatch/join-result.js'
import type { Untold } from '../dispatch/untold.js'
import { Refusal } from '../errors/refusal.js'
import type { Position } from '../protocol/position.js'
import type { Membership } from '../rooms/membership.js'
import { CursorTrack } from '../transports/cursor-track.js'
import { PollLink, type PollOptions } from '../transports/polling.js'
import type { PollAnswer } from './poll-answer.js'

/** Milliseconds that an answer may wait for frames, and milliseconds for which it is held back. */
export interface Patience { readonly wait: number, readonly hold: number }

/** What a turn needs of those who keep polling connections. */
export interface PollKeeper {
  readonly untold: Untold
  /** Charges a user the cost of a connection's first answer, in messages. */
  readonly charge: (userId: string, cost: number) => void
  /** Rooms that refused the connection for the moment, without those that it has entered since. */
  missing (connection: Peer): ReadonlySet<string> | undefined
  /** Parks the connection until its next poll. */
  park (connection: Peer, cursorRooms: readonly string[]): void
  /**
   * Notes the cursor of an answer.
   *
   * @param isHeard whether the answer says of no room that its peer is out
   */
  told (connection: Peer, cursor: string, isHeard: boolean): void
  /** Tells that a turn has its answer. */
  over (turn: PollTurn): void
}

/** Milliseconds that a poll may wait after a room has refused it; the next poll then tries the room again. */
const AGAIN = 1_000
const NONE: readonly never[] = []

/**
 * One poll of a connection, from its admission to its answer. It is one object without functions of its own, because as
 * many of them wait as there are clients that poll, and what survives a garbage collection is copied by it.
 */
export class PollTurn implements PollOptions {
  readonly connection: Peer
  readonly admitted: Admitted
  readonly wait: number
  readonly hold: number
  readonly link: PollLink
  /**
   * Resolves to the answer, or to the reason why the connection has ended; rejects when a room cannot be entered
   * because of a fault.
   */
  readonly answered: Promise<PollAnswer | Refusal>
  readonly #keeper: PollKeeper
  readonly #track: CursorTrack
  #finish!: (answer: PollAnswer | Refusal) => void
  #fail!: (error: unknown) => void
  #rooms: TakenRooms['entered'] = NONE
  #isResumed = true
  #refused: TakenRooms['refused'] = NONE
  /** Memberships as they were when the poll began to wait, and where they stood. */
  #begun: readonly Membership[] = NONE
  #from: ReadonlyArray<Position | undefined> = NONE

  constructor (keeper: PollKeeper, connection: Peer, admitted: Admitted, { wait, hold }: Patience) {
    this.#keeper = keeper
    this.connection = connection
    this.admitted = admitted
    this.wait = wait
    this.hold = hold
    this.#track = trackOf(connection, admitted)
    this.link = new PollLink(this)
    this.answered = new Promise((resolve, reject) => {
      this.#finish = resolve
      this.#fail = reject
    })
  }

  get isFirst (): boolean { return this.admitted.cursor === undefined }

  /**
   * What is answered when it is ended before it has an answer of its own. Whoever reads this has been told nothing, so
   * it stands where it stood, though its rooms may have been entered.
   */
  get before (): PollAnswer {
    return {
      connectionId: this.connection.id,
      cursor: trackOf(this.connection, this.admitted).toString(),
      resumed: true,
      rooms: NONE,
      frames: NONE
    }
  }

  /** Tells of the rooms that the connection is out of, and of which it has not heard so. */
  tellOut (): void {
    const { cursor, cursorRooms, out } = this.admitted
    if (out.size === 0) return
    for (const [index, name] of cursorRooms.entries()) {
      if (!out.has(name) || cursor?.entries[index]?.isOut === true) continue
      const { code, message } = this.#keeper.untold.outOf(this.connection.id, name) ?? {}
      if (code === undefined || message === undefined) this.#track.leave(name)
      else this.connection.sendSurely({ type: 'left', room: name, data: { code, message } })
    }
  }

  /** Begins to wait, with what was entered or resumed for it. */
  begin ({ entered, starts, refused }: TakenRooms): void {
    const { connection, isFirst } = this
    let hasNews = isFirst
    this.#rooms = entered
    for (const result of entered) {
      if ('refusal' in result) {
        hasNews = true
        this.#isResumed = false
        continue
      }
      const { name, data } = result
      if (data.resumed !== true) {
        if (!isFirst) this.#isResumed = false
        hasNews ||= data.resumed === false
      }
      if (data.members !== undefined) hasNews = true
      this.#track.enter(name, data)
    }
    if (isFirst) {
      this.#isResumed = entered.every((result) => 'data' in result && result.data.resumed === true)
    }
    if (refused.length > 0) this.#isResumed = false
    this.#refused = refused
    for (const start of starts) start()
    this.#begun = connection.rooms.all()
    this.#from = this.#begun.map(({ position }) => position)
    if (hasNews) this.link.pending()
    this.link.start(refused.length > 0 ? AGAIN : undefined)
  }

  /** Whether the peer has missed events of a room of which none has been read yet. */
  isReading (): boolean {
    if (!this.connection.hasRoom) return false
    for (let index = 0; index < this.#begun.length; index++) {
      const { state, position, isHeldBack } = this.#begun[index]!
      if (state === 'following' && position === this.#from[index] && !isHeldBack) return true
    }
    return false
  }

  /** Answers with the frames that wait. */
  answer (): void {
    const { connection, admitted: { cursorRooms, known } } = this
    const { untold, charge } = this.#keeper
    const track = this.#track
    const missing = this.#keeper.missing(connection)
    for (const { name, refusal } of this.#refused) {
      if (missing?.has(name) === true) connection.sendError(refusal.data, undefined, name)
    }
    const packets = connection.take()
    if (connection.ending !== undefined) return this.finish(inHttp(connection.ending))
    let size = 0
    for (const packet of packets) {
      track.see(packet)
      size += packet.bytes.length
    }
    let isHeard = true
    for (const room of connection.unheard) {
      isHeard = false
      if (connection.rooms.get(room) === undefined) track.leave(room)
    }
    // A room that it has left itself; the next poll may come to a node that does not know so.
    for (const room of cursorRooms) {
      const isOut = connection.rooms.get(room) === undefined && untold.outOf(connection.id, room) !== undefined
      if (isOut) track.leave(room)
    }
    const memberships = connection.rooms.all()
    for (const { name, place } of memberships) track.reach(name, place)
    const cost = Math.floor(size / LINK_BUFFER)
    connection.charge(cost)
    // A client that opens another connection for each poll would have a new bucket each time.
    if (this.isFirst || known === undefined) charge(connection.userId, cost)
    // While the server drains, this is the last answer unless there is more to read.
    const isLast = connection.retryAfter !== undefined && size < LINK_BUFFER &&
      !memberships.some(({ state }) => state === 'following')
    this.#keeper.park(connection, cursorRooms)
    const cursor = track.toString()
    this.#keeper.told(connection, cursor, isHeard)
    if (isLast) connection.finish('draining')
    this.finish({
      connectionId: connection.id,
      cursor,
      resumed: this.#isResumed,
      rooms: this.#rooms,
      frames: packets
    })
  }

  finish (answer: PollAnswer | Refusal): void {
    this.#keeper.over(this)
    this.#finish(answer)
  }

  fail (error: unknown): void { this.#fail(error) }
}

function trackOf (connection: Peer, { cursor, cursorRooms, entries }: Admitted): CursorTrack {
  const track = new CursorTrack(connection.id, cursorRooms)
  for (let index = 0; index < entries.length; index++) {
    const { name, request } = entries[index]!
    track.begin(name, request, cursor?.entries[index]?.isOut)
  }
  return track
}

/**
 * Gives a refusal without an HTTP status, with which only streams and sockets end, a status for the answer of a poll.
 */
function inHttp (ending: Refusal): Refusal {
  const { word, statusCode, data: { message } } = ending
  return statusCode === 0 ? new Refusal(word, { message, as: { code: word, statusCode: 503 } }) : ending
}
