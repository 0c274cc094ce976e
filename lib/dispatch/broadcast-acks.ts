import { randomBytes } from 'node:crypto'
import type { Control } from '../adapters/adapter.js'
import type { Audience } from '../rooms/room.js'
import type { ClientAnswer } from '../protocol/frames.js'
import type { EventHead } from '../protocol/packet.js'
import { ShardedMap } from '../structures/sharded-map.js'
import { inTurns } from '../structures/slices.js'
import { Sweeper } from '../structures/sweeper.js'
import { after } from '../structures/timers.js'

/** The result in user ids, one for each connection, because connection ids are secrets of their own clients. */
export interface AckResult {
  readonly acked: string[]
  readonly missing: string[]
  readonly left: string[]
  /** Number of nodes that did not report their members. */
  readonly unknown: number
}

/** An answer that arrived before the report of its node. */
interface Early { readonly how: 'acked' | 'left', readonly user: string | undefined, readonly answer: ClientAnswer }

interface Waiting {
  /** Takes the answers, where more than acks is asked for. */
  readonly onAnswer: ((answer: ClientAnswer) => void) | undefined
  readonly pending: Map<string, string>
  readonly acked: string[]
  readonly left: string[]
  /** Answers that arrived before the report of their node. */
  readonly early: Map<string, Early>
  /** Nodes that have told all their members. */
  readonly reported: Set<string>
  /** The members that each other node has told. */
  readonly members: Map<string, string[]>
  /** The nodes of those who have moved since they were told. */
  readonly moved: Map<string, string>
  /**
   * The nodes that are still to report, or the number of all; `undefined` where the broker does not tell, and until the
   * publication is done.
   */
  nodes: number | Set<string> | undefined
  isSealed: boolean
  isDue: boolean
  readonly settle: () => void
}

/** A broadcast of another node. */
interface Remote {
  readonly pending: Set<string>
  readonly until: number
  /** Whether it asks for more than acks. */
  readonly isQuestion: boolean
  /** Audiences to which members are being added. */
  adding: number
}

/** Milliseconds for which a node passes on the answers to another node's broadcast, where its id says no other time. */
const REMOTE = 60_000
/** What an id says behind its node and its own part: seconds, or nothing for as long as there is room. */
const LASTING = /^[^.]*\.[^.]*\.(\d{0,9})$/
/** Broadcasts that wait for longer, of which one step passes over so many to find others whose time is over. */
const PASSED = 100
const MAX_REMOTE = 10_000
/** Broadcasts of other nodes, and answers to those that are over, that one turn of the event loop looks at. */
const SWEPT = 1_000
/** Number of settled connections that one turn of the event loop unlinks. */
const UNLINKED = 1_000
/** Members in one message of a report. */
const REPORT = 500
/** Answers that are awaited on behalf of other nodes, over all their broadcasts. */
const MAX_REMOTE_ANSWERS = 500_000
/**
 * Answers to one broadcast that are kept before the report of their node. They need a bound, because a member may
 * invent connections of other nodes.
 */
const MAX_EARLY = 10_000

/**
 * Tracks acknowledged broadcasts: those of this node, and the answers of its members to those of other nodes. After a
 * timeout nothing of a broadcast is left.
 */
export class BroadcastAcks {
  readonly #node: string
  readonly #control: Control | undefined
  readonly #onError: (error: unknown) => void
  readonly #waiting = new Map<string, Waiting>()
  readonly #remote = new Map<string, Remote>()
  #remoteAnswers = 0
  readonly #sweeper = new Sweeper(() => this.#sweepSome())
  /** What is left of the sweep under way. */
  #swept: Iterator<[string, Remote], undefined> | undefined
  #isClosed = false
  /** Broadcasts that wait for a connection, so that its end need not search all of them. */
  readonly #byConnection = new ShardedMap<string | Set<string>>()
  /** Number of answers that belong to no broadcast under way: late, repeated or invented. */
  unmatched = 0

  constructor (node: string, control: Control | undefined, onError: (error: unknown) => void) {
    this.#node = node
    this.#control = control
    this.#onError = onError
  }

  /**
   * Makes the id of a broadcast. Where it waits for longer than other nodes pass answers on, the id says so to them.
   *
   * @param timeout milliseconds
   */
  newId (timeout = 0): string {
    const id = `${this.#node}.${randomBytes(9).toString('base64url')}`
    return timeout <= REMOTE ? id : `${id}.${timeout === Infinity ? '' : Math.ceil(timeout / 1_000)}`
  }

  /** Whether a connection of this node was offered the event and has not answered yet. */
  isOwed (id: string, connection: string): boolean {
    return this.#waiting.get(id)?.pending.has(connection) === true ||
      this.#remote.get(id)?.pending.has(connection) === true
  }

  get size (): number { return this.#waiting.size + this.#remote.size }

  /**
   * @param timeout milliseconds until the result is given, or less when all have answered; it also waits for `seal`,
   *   which tells how many nodes are to report
   * @param onAnswer takes what each has answered besides
   */
  wait (id: string, timeout: number, onAnswer?: (answer: ClientAnswer) => void): Promise<AckResult> {
    return new Promise((resolve) => {
      const timer = after(() => {
        waiting.isDue = true
        this.#check(waiting)
      }, timeout)
      const waiting: Waiting = {
        onAnswer,
        pending: new Map(),
        acked: [],
        left: [],
        early: new Map(),
        reported: new Set(),
        members: new Map(),
        moved: new Map(),
        nodes: undefined,
        isSealed: false,
        isDue: false,
        settle: () => {
          clearTimeout(timer)
          this.#waiting.delete(id)
          void inTurns(waiting.pending.keys(), UNLINKED, (connection) => { this.#unlink(connection, id) })
          const { acked, pending, left } = waiting
          resolve({ acked, missing: [...pending.values()], left, unknown: unreported(waiting) ?? 0 })
        }
      }
      this.#waiting.set(id, waiting)
    })
  }

  /**
   * Called before an event that asks for answers is offered to members here; those that are offered it are waited for.
   */
  offered ({ ack, isQuestion = false }: EventHead): Audience | undefined {
    if (ack === undefined) return undefined
    if (this.#waiting.has(ack)) {
      return {
        add: ({ id, userId }) => {
          const waiting = this.#waiting.get(ack)
          if (waiting !== undefined) this.#expect(ack, waiting, id, userId)
        },
        end: () => {}
      }
    }
    if (this.#control === undefined || ack.startsWith(`${this.#node}.`)) return undefined
    return this.#forward(ack, isQuestion, this.#control)
  }

  #expect (id: string, waiting: Waiting, connection: string, userId: string): void {
    const early = waiting.early.get(connection)
    if (early === undefined || (early.user !== undefined && early.user !== userId)) {
      waiting.pending.set(connection, userId)
      this.#link(connection, id)
    } else {
      waiting[early.how].push(userId)
      if (early.how === 'acked') waiting.onAnswer?.(early.answer)
    }
    waiting.early.delete(connection)
  }

  /**
   * Awaits the answers of this node's members to another node's broadcast. That node is told of the members in parts,
   * so that no message names all.
   */
  #forward (ack: string, isQuestion: boolean, control: Control): Audience {
    const now = performance.now()
    let passed = 0
    for (const [id, each] of this.#remote) {
      const hasRoom = this.#remote.size < MAX_REMOTE && this.#remoteAnswers < MAX_REMOTE_ANSWERS
      if (!isNeeded(each, now) || !hasRoom) this.#forget(id)
      else if (each.until <= now + REMOTE || ++passed > PASSED) break
    }
    // A question comes again for a connection that has moved to this node, where it may have asked others.
    const remote: Remote = this.#remote.get(ack) ??
      { pending: new Set(), until: now + lastsFor(ack), isQuestion, adding: 0 }
    remote.adding++
    this.#remote.set(ack, remote)
    if (!this.#isClosed) this.#sweeper.start()
    let members: Array<{ connection: string, userId: string }> = []
    const tell = (more: boolean): void => {
      control.send({ type: 'members', ack, members, ...(more ? { more } : {}) }).catch(this.#onError)
      members = []
    }
    return {
      add: ({ id: connection, userId }) => {
        if (members.length === REPORT) tell(true)
        members.push({ connection, userId })
        if (this.#remote.get(ack) !== remote || remote.pending.has(connection)) return
        remote.pending.add(connection)
        this.#remoteAnswers++
        this.#link(connection, ack)
      },
      end: () => {
        remote.adding--
        if (isAnswered(remote) && this.#remote.get(ack) === remote) this.#remote.delete(ack)
        tell(false)
      }
    }
  }

  #forget (id: string): void {
    const remote = this.#remote.get(id)
    if (remote === undefined) return
    this.#remote.delete(id)
    this.#remoteAnswers -= remote.pending.size
    void inTurns(remote.pending, UNLINKED, (connection) => { this.#unlink(connection, id) })
  }

  /** Ends what is over also where no other broadcast comes, or where many that last for longer stand before it. */
  #sweepSome (): boolean {
    const now = performance.now()
    this.#swept ??= this.#remote.entries()
    for (let looked = 0; looked < SWEPT; looked++) {
      const { value, done } = this.#swept.next()
      if (done === true) {
        this.#swept = undefined
        if (this.#remote.size === 0) this.#sweeper.stop()
        return false
      }
      const [id, remote] = value
      if (isNeeded(remote, now)) continue
      looked += remote.pending.size
      this.#forget(id)
    }
    return true
  }

  #link (connection: string, id: string): void {
    const ids = this.#byConnection.get(connection)
    // Most connections wait for one broadcast, for which a `Set` would cost more than the entry.
    if (ids === undefined) this.#byConnection.set(connection, id)
    else if (typeof ids === 'string') this.#byConnection.set(connection, new Set([ids, id]))
    else ids.add(id)
  }

  #unlink (connection: string, id: string): void {
    const ids = this.#byConnection.get(connection)
    if (ids === id || (typeof ids === 'object' && ids.delete(id) && ids.size === 0)) {
      this.#byConnection.delete(connection)
    }
  }

  /**
   * Takes another node's report of its members. Also one that is not waited for is told who has them: it may have come
   * since, or is about to leave.
   *
   * @param hasMore whether the node will report more of them
   */
  report (
    id: string,
    node: string,
    members: ReadonlyArray<{ connection: string, userId: string }>,
    hasMore = false
  ): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    if (!hasMore) {
      waiting.reported.add(node)
      if (typeof waiting.nodes === 'object') waiting.nodes.delete(node)
    }
    const told = waiting.members.get(node) ?? []
    for (const { connection, userId } of members) {
      // A question is told again by the node to which its connection has moved.
      if (waiting.pending.has(connection)) waiting.moved.set(connection, node)
      else told.push(connection)
      this.#expect(id, waiting, connection, userId)
    }
    if (told.length > 0) waiting.members.set(node, told)
    this.#check(waiting)
  }

  /**
   * Tells that the publication is done, and which other nodes will report or how many; where that is not known, only
   * the timeout ends the wait.
   */
  seal (id: string, nodes: number | readonly string[] | undefined): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    waiting.nodes = typeof nodes === 'object' ? new Set(nodes.filter((node) => !waiting.reported.has(node))) : nodes
    waiting.isSealed = true
    this.#check(waiting)
  }

  /**
   * Tells that a node has left, or was not heard of for long: it has nobody any more, and is not waited for.
   *
   * @param mayLive whether a connection that was there may live all the same
   */
  nodeGone (node: string, mayLive: (connection: string) => boolean = () => false): void {
    for (const [id, waiting] of [...this.#waiting]) {
      if (typeof waiting.nodes === 'object') waiting.nodes.delete(node)
      const { members, moved } = waiting
      const lost = [...members.get(node) ?? [], ...moved.keys()]
        .filter((connection) => (moved.get(connection) ?? node) === node && !mayLive(connection))
      void inTurns(lost, UNLINKED, (connection) => {
        const userId = waiting.pending.get(connection)
        if (userId === undefined) return
        waiting.pending.delete(connection)
        this.#unlink(connection, id)
        waiting.left.push(userId)
      }).then(() => { if (this.#waiting.get(id) === waiting) this.#check(waiting) })
    }
  }

  /** Tells that a connection lives on another node from here on. */
  movedTo (connection: string, node: string): void {
    const ids = this.#byConnection.get(connection)
    if (ids === undefined) return
    for (const id of typeof ids === 'string' ? [ids] : ids) this.#waiting.get(id)?.moved.set(connection, node)
  }

  /** Takes the answer of a connection of this node. */
  acked (id: string, connection: string, answer?: ClientAnswer): void { this.#answer(id, connection, 'acked', answer) }

  /**
   * Takes the answer of a connection that lives on another node, or that was asked there before it came to this one;
   * the node that waits for it checks that it is the user's.
   */
  async ackedElsewhere (id: string, connection: string, user: string, answer?: ClientAnswer): Promise<void> {
    if (id.startsWith(`${this.#node}.`)) this.answered(id, connection, 'acked', user, answer)
    else await this.#control?.send({ type: 'acked', ack: id, connection, user, ...answer })
  }

  /** Tells that a connection of this node has ended and will not answer. */
  gone (connection: string): void {
    const ids = this.#byConnection.get(connection)
    if (ids === undefined) return
    for (const id of typeof ids === 'string' ? [ids] : [...ids]) this.#answer(id, connection, 'left')
  }

  /**
   * Tells that a connection has moved to another node. Those of this node wait on, and what its peer answers to others
   * goes to them without this node.
   */
  moved (connection: string): void {
    const ids = this.#byConnection.get(connection)
    if (ids === undefined) return
    for (const id of typeof ids === 'string' ? [ids] : [...ids]) {
      const remote = this.#remote.get(id)
      if (remote === undefined) continue
      this.#settleRemote(id, remote, connection)
    }
  }

  /**
   * Takes what a connection of this node has sent that cannot be read and may have been an answer: it refuses the
   * questions that the connection owes answers to, or the one of this id.
   *
   * @param user whose connection it must be, where it lives on another node
   * @returns whether there was one
   */
  garbled (connection: string, message: string, id?: string, user?: string): boolean {
    const ids = this.#byConnection.get(connection)
    if (ids === undefined) return false
    let isFound = false
    for (const owed of typeof ids === 'string' ? [ids] : [...ids]) {
      const isQuestion = this.#waiting.get(owed)?.onAnswer !== undefined || this.#remote.get(owed)?.isQuestion === true
      if (!isQuestion || (id !== undefined && id !== owed)) continue
      isFound = true
      this.#answer(owed, connection, 'acked', { error: { code: 'invalid_message', message } }, user)
    }
    return isFound
  }

  /** Does the same for a connection that lives on another node, or was asked there. */
  async garbledElsewhere (connection: string, user: string, message: string, id?: string): Promise<void> {
    if (this.garbled(connection, message, id, user) && id !== undefined) return
    await this.#control?.send({ type: 'garbled', user, connection, message, ...(id === undefined ? {} : { ack: id }) })
  }

  #answer (id: string, connection: string, how: 'acked' | 'left', answer?: ClientAnswer, user?: string): void {
    const remote = this.#remote.get(id)
    if (remote === undefined) return this.answered(id, connection, how, user, answer)
    if (!this.#settleRemote(id, remote, connection)) {
      this.unmatched++
      return
    }
    this.#control!.send(how === 'acked' ? { type: how, ack: id, connection, ...answer } : { type: 'gone', ack: id, connection })
      .catch(this.#onError)
  }

  /** @returns whether this node waited for the connection on behalf of another one */
  #settleRemote (id: string, remote: Remote, connection: string): boolean {
    if (!remote.pending.delete(connection)) return false
    this.#remoteAnswers--
    this.#unlink(connection, id)
    if (isAnswered(remote)) this.#remote.delete(id)
    return true
  }

  /** Takes an answer of any node's connection to a broadcast of this node. */
  answered (
    id: string,
    connection: string,
    how: 'acked' | 'left',
    user?: string,
    answer: ClientAnswer = {}
  ): void {
    const waiting = this.#waiting.get(id)
    const userId = waiting?.pending.get(connection)
    const isForeign = user !== undefined && userId !== undefined && user !== userId
    if (waiting === undefined || isForeign || (userId === undefined && unreported(waiting) === 0)) {
      this.unmatched++
      return
    }
    if (userId === undefined && waiting.early.size >= MAX_EARLY) {
      this.unmatched++
      return
    }
    if (userId === undefined) {
      waiting.early.set(connection, { how, user, answer: waiting.onAnswer === undefined ? {} : answer })
      return
    }
    waiting.pending.delete(connection)
    this.#unlink(connection, id)
    waiting[how].push(userId)
    if (how === 'acked') waiting.onAnswer?.(answer)
    this.#check(waiting)
  }

  #check (waiting: Waiting): void {
    if (waiting.isSealed && (waiting.isDue || (unreported(waiting) === 0 && waiting.pending.size === 0))) {
      waiting.settle()
    }
  }

  /** Settles a broadcast whose publication failed. */
  cancel (id: string): void { this.#waiting.get(id)?.settle() }

  close (): void {
    this.#isClosed = true
    this.#sweeper.stop()
    for (const waiting of [...this.#waiting.values()]) waiting.settle()
    this.#remote.clear()
    this.#byConnection.clear()
  }
}

/** Number of nodes that have not told all their members yet; `undefined` where nobody knows. */
function unreported ({ nodes, reported }: Waiting): number | undefined {
  if (typeof nodes === 'object') return nodes.size
  return nodes === undefined ? undefined : Math.max(0, nodes - reported.size)
}

/** Members are added in turns: one that has none yet may get some. */
function isAnswered ({ adding, pending }: Remote): boolean { return adding === 0 && pending.size === 0 }

function isNeeded (remote: Remote, now: number): boolean { return remote.until > now && !isAnswered(remote) }

/** Milliseconds for which answers to a broadcast of another node are passed on. */
function lastsFor (ack: string): number {
  const seconds = LASTING.exec(ack)?.[1]
  if (seconds === undefined) return REMOTE
  return seconds === '' ? Infinity : Math.max(REMOTE, Number(seconds) * 1_000)
}
