import type { FastifyBaseLogger } from 'fastify'
import type { Peer } from '../admission/peer.js'
import type { Refusals } from '../admission/refusals.js'
import { isForNow, refusalOf, type Refusal } from '../errors/refusal.js'
import type { Ledger } from '../stats/ledger.js'

export interface ErrorRepliesOptions {
  readonly ledger: Ledger
  readonly refusals: Refusals
  readonly log: FastifyBaseLogger
}

/** Counts refusals, notes them for the operator, and tells them to the connection. */
export class ErrorReplies {
  readonly #options: ErrorRepliesOptions

  constructor (options: ErrorRepliesOptions) {
    this.#options = options
  }

  /** @param counted the code under which it is counted; an application's own code counts as `other` */
  refuse (connection: Peer, refusal: Refusal, id?: string, room?: string, counted: string = refusal.word): void {
    this.#options.ledger.errored(counted)
    this.note(connection, refusal, room)
    connection.sendError(refusal.data, id, room)
  }

  /** Refuses a room that a connection is opened with: surely, where the room refuses it for good. */
  refuseRoom (connection: Peer, refusal: Refusal, room: string): void {
    if (isForNow(refusal)) return this.refuse(connection, refusal, undefined, room)
    this.#options.ledger.errored(refusal.word)
    this.note(connection, refusal, room)
    connection.sendSurely({ type: 'error', room, data: refusal.data })
  }

  /** Notes a refusal for the operator only. */
  note ({ address, userId }: Peer, refusal: Refusal, room: string | undefined): void {
    this.#options.refusals.note(room === undefined || refusal.room !== undefined ? refusal : refusal.in(room), {
      address,
      userId
    })
  }

  /**
   * Turns a thrown value into the refusal that a peer is told. A value that is no refusal is a fault of the application
   * and is logged.
   */
  of (error: unknown, room: string | undefined, connection: Pick<Peer, 'id'>): Refusal {
    const { refusal, cause } = refusalOf(error)
    if (cause !== undefined) {
      this.#options.log.error({ err: cause, room, connectionId: connection.id }, 'entering a room failed')
    }
    return refusal
  }
}
