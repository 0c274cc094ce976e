import type { Peer } from '../admission/peer.js'
import { isForNow } from '../errors/refusal.js'
import type { Hub } from '../rooms/hub.js'
import type { Rejoined, RequestedRoom } from '../rooms/joining.js'
import type { MemberLists } from '../rooms/member-lists.js'
import type { Membership } from '../rooms/membership.js'
import type { Awaitable } from '../structures/awaitable.js'
import { costOf } from '../structures/token-bucket.js'
import type { Entered } from './join-preparation.js'
import type { JoinResult, RefusedRoom, TakenRooms } from './join-result.js'

/** What is to be resumed for a poll. */
export interface Resumable {
  readonly connection: Peer
  readonly entries: readonly RequestedRoom[]
  /** The moment of the revocations at which its admission began. */
  readonly since: number
  /** Rooms that were refused before, or that are named for the first time. */
  readonly missing: ReadonlySet<string> | undefined
  /** Returns false once the poll was answered or given up; the next poll does the rest then. */
  readonly isCurrent: () => boolean
}

export interface ResumptionHost {
  readonly rooms: Hub
  /** Makes the bound for the member lists of one answer. */
  readonly memberLists: () => MemberLists
  /**
   * Enters a room again that was refused for the moment.
   *
   * @returns `undefined` when the server has put it into the room meanwhile, or the poll is over
   */
  readonly enterAgain: (resumable: Resumable, entry: RequestedRoom) => Promise<Entered | RefusedRoom | undefined>
}

/** Resumes the rooms of a connection for its next poll. Most polls have nothing to wait for, and get no promise. */
export class Resumption {
  readonly #host: ResumptionHost
  readonly #asked: Resumable
  readonly #lists: MemberLists
  readonly #entered: JoinResult[] = []
  readonly #begun: Array<{ readonly membership: Membership, readonly start: () => void }> = []
  readonly #refused: RefusedRoom[] = []

  constructor (host: ResumptionHost, asked: Resumable) {
    this.#host = host
    this.#asked = asked
    this.#lists = host.memberLists()
  }

  run (): Awaitable<TakenRooms> {
    const { entries, isCurrent } = this.#asked
    for (let index = 0; index < entries.length && isCurrent(); index++) {
      const step = this.#take(entries[index]!)
      if (step !== undefined) return this.#runLater(step, index + 1)
    }
    return this.#taken()
  }

  async #runLater (step: Promise<void>, next: number): Promise<TakenRooms> {
    const { entries, isCurrent } = this.#asked
    await step
    for (let index = next; index < entries.length && isCurrent(); index++) await this.#take(entries[index]!)
    return this.#taken()
  }

  /** @returns `undefined` when nothing has to be waited for */
  #take (entry: RequestedRoom): Promise<void> | undefined {
    const { connection, missing } = this.#asked
    const { name, request } = entry
    const membership = connection.rooms.get(name)
    if (membership === undefined) return missing?.has(name) === true ? this.#takeMissing(entry) : undefined
    const rejoined = this.#host.rooms.rejoin(membership, request)
    if (rejoined instanceof Promise) return rejoined.then((later) => { this.#add(membership, later) })
    this.#add(membership, rejoined)
    return undefined
  }

  #add (membership: Membership, { data, start }: Rejoined): void {
    const { name } = membership
    // The server may have removed it meanwhile.
    if (this.#asked.connection.rooms.get(name) !== membership) return
    this.#entered.push({ name, data: this.#lists.fitJoin(data) })
    this.#begun.push({ membership, start })
  }

  async #takeMissing (entry: RequestedRoom): Promise<void> {
    const { name } = entry
    const result = await this.#host.enterAgain(this.#asked, entry)
    if (result === undefined) return
    if ('start' in result) {
      this.#entered.push({ name, data: this.#lists.fitJoin(result.data) })
      this.#begun.push(result)
    } else if (isForNow(result.refusal)) this.#refused.push(result)
    else {
      this.#entered.push(result)
      this.#asked.connection.sendSurely({ type: 'error', room: name, data: result.refusal.data })
    }
  }

  #taken (): TakenRooms {
    this.#asked.connection.charge(costOf(this.#lists.bytes))
    // One busy room could fill each answer alone.
    if (this.#begun.length > 1) this.#begun.sort((a, b) => b.membership.waited - a.membership.waited)
    return { entered: this.#entered, starts: this.#begun.map(({ start }) => start), refused: this.#refused }
  }
}
