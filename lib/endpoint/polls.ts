import type { Control } from '../adapters/adapter.js'
import type { Admitted } from '../admission/admission.js'
import type { Peer } from '../admission/peer.js'
import type { JoinResult, TakenRooms } from '../dispatch/join-result.js'
import type { Joins } from '../dispatch/joins.js'
import type { Untold } from '../dispatch/untold.js'
import { isForNow } from '../errors/refusal.js'
import type { Cursor } from '../protocol/cursor.js'
import type { Awaitable } from '../structures/awaitable.js'
import { PollTurn, type Patience, type PollKeeper } from './poll-turn.js'

type Enter = (connection: Peer, admitted: Admitted) => Promise<readonly JoinResult[]>

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

/** Connections that poll. Between two polls they are parked, and each poll resumes at the positions in its cursor. */
export class Polls {
  readonly #options: PollsOptions
  readonly #keeper: PollKeeper
  readonly #open = new Map<Peer, PollTurn>()
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
  /** The rooms that the last poll of a connection named. */
  readonly #named = new WeakMap<Peer, readonly string[]>()

  constructor (options: PollsOptions) {
    this.#options = options
    const { untold, charge } = options
    this.#keeper = {
      untold,
      charge,
      missing: (connection) => {
        this.#forget(connection)
        return this.#missing.get(connection)
      },
      park: (connection, cursorRooms) => { this.#park(connection, cursorRooms) },
      told: (connection, cursor, isHeard) => {
        if (isHeard) this.#told.delete(connection)
        else this.#told.set(connection, cursor)
      },
      over: ({ connection }) => { this.#open.delete(connection) }
    }
  }

  /**
   * Begins one poll: the first of a connection, whose rooms are entered, or a later one, whose memberships are resumed.
   * A later one without a cursor names other rooms: those that are new are entered, and those that are missing are
   * left. One with an older cursor may name other rooms, too.
   *
   * @param enter enters the rooms of a connection that is new here
   */
  begin (
    connection: Peer,
    admitted: Admitted,
    patience: Patience,
    enter: Enter
  ): PollTurn {
    this.#end(connection)
    // A client that polls again has given up the answer before.
    this.#unread.get(connection)?.()
    const turn = new PollTurn(this.#keeper, connection, admitted, patience)
    turn.tellOut()
    this.#forget(connection)
    const told = this.#told.get(connection)
    // Where the rooms are others, there is no cursor that could say what was heard: what was answered counts as heard.
    if (turn.isFirst || (told !== undefined && told === turn.before.cursor)) connection.heard()
    this.#open.set(connection, turn)
    this.#take(turn, enter)
    return turn
  }

  /** Ends a poll whose caller is gone: its frames stay for the next one. */
  giveUp (turn: PollTurn): void {
    if (!this.#isCurrent(turn)) return
    turn.link.abandon()
    this.#park(turn.connection, turn.admitted.cursorRooms)
    turn.finish(turn.before)
  }

  #isCurrent (turn: PollTurn): boolean { return this.#open.get(turn.connection) === turn }

  /**
   * Lets a poll resume the connection's rooms, one poll at a time: of two polls at once, each would undo what the other
   * has read. Where the poll was answered or given up meanwhile, its rooms are parked then.
   */
  #take (turn: PollTurn, enter: Enter): void {
    const { connection, link } = turn
    const busy = this.#entering.get(connection)
    if (busy !== undefined) {
      void busy.then(() => { if (this.#isCurrent(turn)) this.#take(turn, enter) })
      return
    }
    if (!connection.isOpen) return link.close()
    // A membership that is live when the link comes would move the cursor past events that the poll has not read.
    this.#options.joins.parkAll(connection)
    connection.lastUntil(Number.POSITIVE_INFINITY)
    connection.attach(link)
    let taking: Awaitable<TakenRooms>
    try {
      taking = turn.admitted.known === undefined ? this.#enter(turn, enter) : this.#resume(turn)
    } catch (error) {
      return this.#failed(turn, error)
    }
    if (!(taking instanceof Promise)) return this.#taken(turn, taking)
    let ended!: () => void
    this.#entering.set(connection, new Promise<void>((resolve) => { ended = resolve }))
    const over = (): void => {
      this.#entering.delete(connection)
      ended()
    }
    taking.then((taken) => {
      over()
      this.#taken(turn, taken)
    }, (error: unknown) => {
      over()
      this.#failed(turn, error)
    })
  }

  #taken (turn: PollTurn, taken: TakenRooms): void {
    this.#remember(turn.connection, taken)
    if (!this.#isCurrent(turn)) return this.#parkOpen(turn)
    try {
      turn.begin(taken)
    } catch (error) {
      this.#failed(turn, error)
    }
  }

  #failed (turn: PollTurn, error: unknown): void {
    if (this.#isCurrent(turn)) {
      turn.link.abandon()
      this.#open.delete(turn.connection)
    }
    this.#parkOpen(turn)
    turn.fail(error)
  }

  #parkOpen ({ connection, admitted: { cursorRooms } }: PollTurn): void {
    if (connection.isOpen) this.#park(connection, cursorRooms)
  }

  #resume (turn: PollTurn): Awaitable<TakenRooms> {
    const { connection, admitted: { cursor, cursorRooms, entries, since } } = turn
    this.#forget(connection)
    const areOthers = turn.isFirst || !isSameList(this.#named.get(connection), cursorRooms)
    if (areOthers) this.#leaveOthers(connection, cursorRooms)
    const missing = areOthers ? this.#absent(connection, cursorRooms, cursor) : this.#missing.get(connection)
    return this.#options.joins.resume(connection, entries, since, missing, () => this.#isCurrent(turn))
  }

  /** Rooms in which it is not yet; it stays out of those out of which it has not heard to be, or says that it is. */
  #absent (connection: Peer, names: readonly string[], cursor: Cursor | undefined): ReadonlySet<string> {
    const { untold } = this.#options
    const unheard = new Set(connection.unheard)
    return new Set(names.filter((name, index) => {
      if (connection.rooms.get(name) !== undefined || unheard.has(name)) return false
      return cursor === undefined ||
        (cursor.entries[index]?.isOut !== true && untold.outOf(connection.id, name) === undefined)
    }))
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

  async #enter ({ connection, admitted }: PollTurn, enter: Enter): Promise<TakenRooms> {
    const entered = await enter(connection, admitted)
    // Of rooms that it had left and has named anew, other nodes still know that it is out.
    for (const result of entered) if ('data' in result) this.#options.untold.joined(connection, result.name)
    // The node that was polled before holds slots and presence under the same names, and would release what is held
    // here.
    if (admitted.former === connection.id) {
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

  #leaveOthers (connection: Peer, cursorRooms: readonly string[]): void {
    this.#named.set(connection, cursorRooms)
    this.#options.joins.park(connection, cursorRooms)
  }

  #park (connection: Peer, cursorRooms: readonly string[]): void {
    this.#leaveOthers(connection, cursorRooms)
    connection.detach()
    connection.lastUntil(this.#options.now() + this.#options.grace)
  }

  /** Ends the open poll of a connection for a second one, which gets the events of the first. */
  #end (connection: Peer): void {
    const turn = this.#open.get(connection)
    if (turn === undefined) return
    turn.link.abandon()
    this.#options.joins.parkAll(connection)
    connection.detach()
    turn.finish(turn.before)
  }
}

function isSameList (some: readonly string[] | undefined, others: readonly string[]): boolean {
  return some?.length === others.length && some.every((name, index) => name === others[index])
}
