import type { Control, ControlMessage, OlderConnection } from '../adapters/adapter.js'
import { OLDER, OLDER_ROOMS } from '../adapters/broker/decode-older.js'
import type { Peers } from '../admission/peer.js'
import type { OlderConnections } from '../admission/reservations.js'
import type { Slots } from '../admission/slots.js'
import type { Elsewhere } from '../dispatch/elsewhere.js'
import { Gathering } from '../dispatch/gathering.js'
import type { Roster } from '../dispatch/roster.js'
import { Refusal } from '../errors/refusal.js'
import { Pauses } from '../structures/pauses.js'

export interface OlderOptions {
  readonly node: string
  readonly connections: Pick<Peers, 'get' | 'ofUser'>
  readonly slots: Pick<Slots, 'giveWay' | 'hasUserSlotOf'>
  readonly roster: Roster
  readonly elsewhere: Pick<Elsewhere, 'ask'>
  readonly control: Control | undefined
}

type Question = Extract<ControlMessage, { readonly type: 'oldest' }>
type Found = OlderConnection & { readonly node: string }

/** Milliseconds that the other nodes have to name theirs: as long as a dead one counts as there, all of it. */
const PATIENCE = 500
/** Milliseconds after which a connection that was being opened may be open. */
const OPENING = 50

/** Ends the oldest connection of a user for a newer one, on whichever node either is. */
export class Older implements OlderConnections {
  readonly #options: OlderOptions
  readonly #gathering: Gathering<readonly OlderConnection[]>
  readonly #pauses = new Pauses()
  /** Those that a newcomer of this node is about to end: each of them ends another one. */
  readonly #chosen = new Set<string>()

  constructor (options: OlderOptions) {
    this.#options = options
    this.#gathering = new Gathering(options.roster)
  }

  async end (
    user: string,
    rooms: readonly string[],
    asked: Set<string>,
    ready: (rooms: readonly string[]) => Promise<void>
  ): Promise<boolean> {
    const oldest = await this.#choose(user, rooms.slice(0, OLDER_ROOMS), asked)
    if (oldest === undefined) {
      await this.opening()
      return false
    }
    try {
      await ready(oldest.rooms)
      this.#checkOpen()
      await this.#end(user, oldest)
      return true
    } finally {
      this.#chosen.delete(oldest.id)
    }
  }

  async opening (): Promise<void> {
    await this.#pauses.wait(OPENING)
    this.#checkOpen()
  }

  /** The oldest by the clocks of the nodes, since no other order is known to all of them. */
  async #choose (user: string, rooms: readonly string[], asked: Set<string>): Promise<Found | undefined> {
    this.#checkOpen()
    const { node, control } = this.#options
    const { answers } = await this.#gathering.gather(async (id) => {
      await control?.send({ type: 'oldest', id, user, rooms })
    }, PATIENCE)
    this.#checkOpen()
    let oldest: Found | undefined
    for (const [from, connections] of [...answers, [node, this.#here(user, rooms)] as const]) {
      for (const connection of connections) {
        if (asked.has(connection.id) || this.#chosen.has(connection.id)) continue
        if (oldest === undefined || connection.since < oldest.since) oldest = { ...connection, node: from }
      }
    }
    if (oldest === undefined) return undefined
    asked.add(oldest.id)
    this.#chosen.add(oldest.id)
    return oldest
  }

  async #end (user: string, { id, node }: Found): Promise<void> {
    if (node === this.#options.node) await this.endHere(user, id)
    else await this.#options.elsewhere.ask(user, id, 'replace', { node })
  }

  /** Those of this node that have their slots still. */
  #here (user: string, rooms: readonly string[]): OlderConnection[] {
    const { connections, slots } = this.#options
    return connections.ofUser(user)
      .filter((peer) => peer.isOpen && slots.hasUserSlotOf(peer.id))
      .slice(0, OLDER)
      .map((peer) => ({
        id: peer.id,
        since: peer.openedAt,
        rooms: rooms.filter((room) => peer.rooms.get(room) !== undefined)
      }))
  }

  /** Answers another node. */
  async answer ({ id, user, rooms }: Question): Promise<void> {
    await this.#options.control?.send({ type: 'older', id, connections: this.#here(user, rooms) })
  }

  /** Takes the answer of another node. */
  answered (id: string, node: string, connections: readonly OlderConnection[]): void {
    this.#gathering.answered(id, node, connections)
  }

  /**
   * Ends a connection of this node for a newer one.
   *
   * @returns whether its slot and its places are free now; false where it has ended or given way before
   */
  async endHere (user: string, id: string): Promise<boolean> {
    const { connections, slots } = this.#options
    const peer = connections.get(id)
    if (peer?.userId !== user || !peer.isOpen || !slots.hasUserSlotOf(id)) return false
    const freed = slots.giveWay(id)
    peer.close('replaced')
    return await freed
  }

  #checkOpen (): void { if (this.#pauses.isOver) throw new Refusal('draining') }

  /** Refuses all newcomers that wait, and each later one: they would end others, and not be let in. */
  close (): void {
    this.#pauses.end()
    this.#gathering.close()
  }
}
