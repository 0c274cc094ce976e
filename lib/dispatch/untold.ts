import type { Control, ControlMessage } from '../adapters/adapter.js'
import type { Peer } from '../admission/peer.js'
import { KeptRefusal } from '../errors/kept-refusal.js'
import { Refusal } from '../errors/refusal.js'
import { isCode } from '../protocol/codes.js'
import { keyOf } from '../protocol/key.js'
import { ExpiringMap } from '../structures/expiring-map.js'

/** Milliseconds for which it is kept for the next poll. */
const KEPT = 30_000
const MAX_UNTOLD = 10_000
/** What one message to the other nodes says at most. */
const PART = 500

export type Owed = Extract<ControlMessage, { readonly type: 'owed' }>['told'][number]

/**
 * What peers that poll are to be told by their next polls: that their connections were ended for good between two, or
 * are out of rooms. The next poll may come to any node, so each keeps what it has done and what the others have.
 */
export class Untold {
  readonly #control: Control | undefined
  readonly #onError: (error: unknown) => void
  readonly #endings = new ExpiringMap<KeptRefusal>(MAX_UNTOLD)
  readonly #rooms = new ExpiringMap<Owed>(MAX_UNTOLD)
  /** What the other nodes are told at the end of this step, as many as the server has ended in it. */
  #said: Owed[] = []

  /** @param control absent where there is a single node only */
  constructor (control: Control | undefined, onError: (error: unknown) => void) {
    this.#control = control
    this.#onError = onError
  }

  ended ({ id, userId }: Peer, ending: Refusal): void {
    this.#keepEnding(id, ending)
    this.#say({ user: userId, connection: id, code: ending.word, message: ending.data.message })
  }

  /** @param why what the `left` frame says; absent where the peer itself has left the room */
  left ({ id, userId }: Peer, room: string, why?: { readonly code: string, readonly message: string }): void {
    this.#tell({ user: userId, connection: id, room, ...why })
  }

  /** The connection is in the room again. */
  joined ({ id, userId }: Peer, room: string): void {
    if (this.outOf(id, room) !== undefined) this.#tell({ user: userId, connection: id, room, isOver: true })
  }

  #tell (owed: Owed): void {
    this.keep(owed)
    this.#say(owed)
  }

  /** Keeps what this node or another one has done. */
  keep (owed: Owed): void {
    const { connection, room, code, message, isOver } = owed
    if (room === undefined) {
      if (isCode(code)) this.#keepEnding(connection, new Refusal(code, { message }))
      return
    }
    const now = performance.now()
    if (isOver === true) this.#rooms.delete(keyOf(connection, room))
    else this.#rooms.set(keyOf(connection, room), owed, now + KEPT, now)
  }

  #keepEnding (connection: string, ending: Refusal): void {
    const now = performance.now()
    this.#endings.set(connection, new KeptRefusal(ending), now + KEPT, now)
  }

  /** Returns once why a connection was ended; `undefined` when it was not. */
  takeEnding (connection: string): Refusal | undefined {
    const ending = this.#endings.get(connection, performance.now())
    if (ending !== undefined) this.#endings.delete(connection)
    return ending?.again()
  }

  /** Tells why a connection is out of a room; `undefined` where nobody has said so lately. */
  outOf (connection: string, room: string): Owed | undefined {
    return this.#rooms.size === 0 ? undefined : this.#rooms.get(keyOf(connection, room), performance.now())
  }

  #say (owed: Owed): void {
    if (this.#control === undefined) return
    this.#said.push(owed)
    // Many may be ended by one call.
    if (this.#said.length === 1) queueMicrotask(() => { this.#sayAll(this.#control!) })
  }

  #sayAll (control: Control): void {
    const said = this.#said
    this.#said = []
    for (let from = 0; from < said.length; from += PART) {
      control.send({ type: 'owed', told: said.slice(from, from + PART) }).catch(this.#onError)
    }
  }
}
