import type { Control } from '../adapters/adapter.js'
import { LINK_BUFFER } from '../connection/link.js'
import type { Admitted } from '../admission/admission.js'
import type { Peer } from '../admission/peer.js'
import type { JoinResult, Joins, TakenRooms } from '../dispatch/joins.js'
import type { Untold } from '../dispatch/untold.js'
import { isForNow, Refusal } from '../errors/refusal.js'
import { CursorTrack } from '../transports/cursor-track.js'
import { PollLink } from '../transports/polling.js'
import type { PollAnswer } from './poll-answer.js'

export interface PollsOptions {
  readonly joins: Joins
  readonly untold: Untold
  readonly control: Control | undefined
  /** Charges a user the cost of a connection's first answer, in messages. */
  readonly charge: (userId: string, cost: number) => void
  /** Milliseconds that a connection outlives its last answer. */
  readonly grace: number
  readonly now: () => number
  readonly onError: (error: unknown) => void
}

/** Milliseconds that a poll may wait after a room has refused it; the next poll then tries the room again. */
const AGAIN = 1_000

/** Milliseconds that an answer may wait for frames, and milliseconds for which it is held back. */
export interface Patience { readonly wait: number, readonly hold: number }

interface OpenPoll {
  readonly link: PollLink
  readonly finish: (answer: PollAnswer | Refusal) => void
  /** What is answered when it is ended before it has an answer of its own. */
  readonly before: PollAnswer
}

/** Connections that poll. Between two polls they are parked, and each poll resumes at the positions in its cursor. */
export class Polls {
  readonly #options: PollsOptions
  readonly #open = new Map<Peer, OpenPoll>()
  /**
   * Polls whose rooms are being entered, given up or not. The next poll of the same connection begins when that has
   * ended.
   */
  readonly #entering = new Map<Peer, Promise<void>>()
  /** Answers that their peers have not read yet, each with a function that ends it. */
  readonly #unread = new Map<Peer, () => void>()
  /** The cursors of answers that say of rooms that their peers are out: who polls with such a one has heard so. */
  readonly #told = new WeakMap<Peer, string>()
  /** Rooms that refused a connection for the moment. */
  readonly #missing = new WeakMap<Peer, Set<string>>()

  constructor (options: PollsOptions) {
    this.#options = options
  }

  /**
   * Runs one poll: the first of a connection, whose rooms are entered, or a later one, whose memberships are resumed. A
   * later one without a cursor names other rooms: those that are new are entered, and those that are missing are left.
   *
   * @param enter enters the rooms of a connection that is new here; frames go to the given link
   */
  async run (
    connection: Peer,
    { cursor, cursorRooms, entries, former, known, out, since }: Admitted,
    { wait, hold }: Patience,
    enter: () => Promise<readonly JoinResult[]>,
    gone: (callback: () => void) => void
  ): Promise<PollAnswer | Refusal> {
    const { joins, untold } = this.#options
    this.#end(connection)
    // A client that polls again has given up the answer before.
    this.#unread.get(connection)?.()
    const track = new CursorTrack(connection.id, cursorRooms)
    for (const [index, { name, request }] of entries.entries()) {
      track.begin(name, { ...request, isOut: cursor?.entries[index]?.isOut })
    }
    // Whoever reads this has been told nothing, so it stands where it stood, though its rooms may have been entered.
    const before: PollAnswer = {
      connectionId: connection.id,
      cursor: track.toString(),
      resumed: true,
      rooms: {},
      frames: []
    }
    for (const [index, name] of cursorRooms.entries()) {
      if (!out.has(name) || cursor?.entries[index]?.isOut === true) continue
      const { code, message } = untold.outOf(connection.id, name) ?? {}
      if (code === undefined || message === undefined) track.leave(name)
      else connection.sendSurely({ type: 'left', room: name, data: { code, message } })
    }
    this.#forget(connection)
    const isFirst = cursor === undefined
    // Where the rooms are others, there is no cursor that could say what was heard: what was answered counts as heard.
    if (isFirst || this.#told.get(connection) === before.cursor) connection.heard()
    return await new Promise<PollAnswer | Refusal>((resolve, reject) => {
      let rooms: Record<string, unknown> = {}
      let isResumed = true
      let refused: TakenRooms['refused'] = []
      let isReading = (): boolean => false
      const finish = (answer: PollAnswer | Refusal): void => {
        this.#open.delete(connection)
        resolve(answer)
      }
      const link = new PollLink({
        wait,
        hold,
        isReading: () => isReading(),
        answer: () => {
          this.#forget(connection)
          const missing = this.#missing.get(connection)
          for (const { name, refusal } of refused) {
            if (missing?.has(name) === true) connection.sendError(refusal.data, undefined, name)
          }
          const packets = connection.take()
          if (connection.ending !== undefined) return finish(inHttp(connection.ending))
          for (const packet of packets) track.see(packet)
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
          for (const { name, place } of connection.rooms.all()) track.reach(name, place)
          const size = packets.reduce((sum, { bytes }) => sum + bytes.length, 0)
          const cost = Math.floor(size / LINK_BUFFER)
          connection.charge(cost)
          // A client that opens another connection for each poll would have a new bucket each time.
          if (isFirst || known === undefined) this.#options.charge(connection.userId, cost)
          // While the server drains, this is the last answer unless there is more to read.
          const isLast = connection.retryAfter !== undefined && size < LINK_BUFFER &&
            !connection.rooms.all().some(({ state }) => state === 'following')
          this.#park(connection, cursorRooms)
          const told = track.toString()
          if (isHeard) this.#told.delete(connection)
          else this.#told.set(connection, told)
          if (isLast) connection.finish('draining')
          finish({ connectionId: connection.id, cursor: told, resumed: isResumed, rooms, frames: packets })
        }
      })
      const isCurrent = (): boolean => this.#open.get(connection)?.link === link
      this.#open.set(connection, { link, finish, before })
      gone(() => {
        if (!isCurrent()) return
        link.abandon()
        this.#park(connection, cursorRooms)
        finish(before)
      })
      const isMoved = known === undefined && former === connection.id
      const work = async (): Promise<TakenRooms> => {
        if (known === undefined) return await this.#enter(connection, enter, isMoved)
        this.#forget(connection)
        if (isFirst) joins.park(connection, cursorRooms)
        const missing = isFirst ? this.#absent(connection, cursorRooms) : this.#missing.get(connection)
        return await joins.resume(connection, entries, since, missing, isCurrent)
      }
      this.#take(connection, link, isCurrent, cursorRooms, work).then((taken) => {
        // A poll that came meanwhile has parked its rooms.
        if (taken === undefined || !isCurrent()) return
        let hasNews = isFirst
        // A room may be named `__proto__`.
        rooms = Object.create(null) as Record<string, unknown>
        for (const result of taken.entered) {
          if ('refusal' in result) {
            hasNews = true
            isResumed = false
            continue
          }
          const { name, data } = result
          rooms[name] = data
          if (data.resumed !== true) {
            if (!isFirst) isResumed = false
            hasNews ||= data.resumed === false
          }
          if (data.members !== undefined) hasNews = true
          track.enter(name, data)
        }
        if (isFirst) isResumed = taken.entered.every((result) => 'data' in result && result.data.resumed === true)
        if (taken.refused.length > 0) isResumed = false
        refused = taken.refused
        for (const start of taken.starts) start()
        const begun = connection.rooms.all().map((membership) => ({ membership, from: membership.position }))
        isReading = () => connection.hasRoom && begun.some(({ membership: { state, position, isHeldBack }, from }) => {
          return state === 'following' && position === from && !isHeldBack
        })
        if (hasNews) link.pending()
        link.start(refused.length > 0 ? AGAIN : undefined)
      }, (error: Error) => {
        if (isCurrent()) {
          link.abandon()
          this.#open.delete(connection)
        }
        reject(error)
      })
    })
  }

  /**
   * Lets a poll resume the connection's rooms, one poll at a time: of two polls at once, each would undo what the other
   * has read.
   *
   * @returns `undefined` when the poll was answered or given up meanwhile; its rooms are parked then
   */
  async #take (
    connection: Peer,
    link: PollLink,
    isCurrent: () => boolean,
    cursorRooms: readonly string[],
    work: () => Promise<TakenRooms>
  ): Promise<TakenRooms | undefined> {
    for (let busy = this.#entering.get(connection); busy !== undefined; busy = this.#entering.get(connection)) {
      await busy
    }
    if (!isCurrent()) return undefined
    if (!connection.isOpen) {
      link.close()
      return undefined
    }
    let ended!: () => void
    this.#entering.set(connection, new Promise<void>((resolve) => { ended = resolve }))
    // A membership that is live when the link comes would move the cursor past events that the poll has not read.
    this.#options.joins.parkAll(connection)
    connection.lastUntil(Number.POSITIVE_INFINITY)
    connection.attach(link)
    let isTaken = false
    try {
      const taken = await work()
      isTaken = isCurrent()
      this.#remember(connection, taken)
      return isTaken ? taken : undefined
    } finally {
      this.#entering.delete(connection)
      if (!isTaken && connection.isOpen) this.#park(connection, cursorRooms)
      ended()
    }
  }

  /** Rooms in which it is not yet; it stays out of those out of which it has not heard to be. */
  #absent (connection: Peer, names: readonly string[]): ReadonlySet<string> {
    const unheard = new Set(connection.unheard)
    return new Set(names.filter((name) => connection.rooms.get(name) === undefined && !unheard.has(name)))
  }

  #remember (connection: Peer, { entered, refused }: TakenRooms): void {
    const missing = this.#missing.get(connection) ?? new Set<string>()
    for (const result of entered) {
      if ('refusal' in result && isForNow(result.refusal)) missing.add(result.name)
      else missing.delete(result.name)
    }
    for (const { name } of refused) missing.add(name)
    if (missing.size > 0) this.#missing.set(connection, missing)
    else this.#missing.delete(connection)
  }

  /**
   * Forgets the refusals of rooms into which the server has put the connection since: it has had its way, and where the
   * server took the connection out again, it stays out.
   */
  #forget (connection: Peer): void {
    const missing = this.#missing.get(connection)
    if (missing === undefined) return
    for (const room of missing) if (connection.rooms.get(room) !== undefined) missing.delete(room)
    for (const room of connection.unheard) missing.delete(room)
  }

  async #enter (connection: Peer, enter: () => Promise<readonly JoinResult[]>, isMoved: boolean): Promise<TakenRooms> {
    const entered = await enter()
    // Of rooms that it had left and has named anew, other nodes still know that it is out.
    for (const result of entered) if ('data' in result) this.#options.untold.joined(connection, result.name)
    // The node that was polled before holds slots and presence under the same names, and would release what is held
    // here.
    if (isMoved) {
      await this.#options.control?.send({ type: 'moved', user: connection.userId, connection: connection.id }).catch(
        this.#options.onError
      )
    }
    return { entered, starts: [], refused: [] }
  }

  /**
   * Tells that the answer has been made. Its connection keeps its slots until the peer has read it, and the grace
   * begins then.
   *
   * @param cut ends the answer's socket
   * @param whenOver calls back when the peer has the answer, or is gone
   */
  answered (connection: Peer, cut: () => void, whenOver: (callback: () => void) => void): void {
    if (!connection.isOpen || this.#open.has(connection)) return
    this.#unread.set(connection, cut)
    connection.lastUntil(Number.POSITIVE_INFINITY)
    whenOver(() => {
      if (this.#unread.get(connection) !== cut) return
      this.#unread.delete(connection)
      if (!this.#open.has(connection)) connection.lastUntil(this.#options.now() + this.#options.grace)
    })
  }

  /** Removes a connection that polls another node now, without releasing what it holds there. */
  moved (connection: Peer): void {
    this.#options.joins.handOver(connection)
    this.#end(connection)
    connection.finish('gone')
  }

  #park (connection: Peer, cursorRooms: readonly string[]): void {
    this.#options.joins.park(connection, cursorRooms)
    connection.detach()
    connection.lastUntil(this.#options.now() + this.#options.grace)
  }

  /** Ends the open poll of a connection for a second one, which gets the events of the first. */
  #end (connection: Peer): void {
    const open = this.#open.get(connection)
    if (open === undefined) return
    open.link.abandon()
    this.#options.joins.parkAll(connection)
    connection.detach()
    open.finish(open.before)
  }
}

/**
 * Gives a refusal without an HTTP status, with which only streams and sockets end, a status for the answer of a poll.
 */
function inHttp (ending: Refusal): Refusal {
  const { word, statusCode, data: { message } } = ending
  return statusCode === 0 ? new Refusal(word, { message, as: { code: word, statusCode: 503 } }) : ending
}
