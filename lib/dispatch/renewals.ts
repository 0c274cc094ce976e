import type { Access } from '../admission/access.js'
import type { Peer } from '../admission/peer.js'
import type { Revocations } from '../auth/revocations.js'
import type { Connections } from '../connection/connections.js'
import type { Identity } from '../connection/identity.js'
import { isForNow, Refusal } from '../errors/refusal.js'
import type { ErrorReplies } from './error-replies.js'
import type { Joins } from './joins.js'
import type { Membership } from '../rooms/membership.js'

export interface RenewalsOptions {
  readonly access: Access
  readonly revocations: Revocations
  readonly connections: Connections<Membership>
  readonly joins: Joins
  readonly replies: ErrorReplies
  /** Returns a fresh identity for a ticket; throws a Refusal. */
  readonly redeem: (ticket: string) => Promise<Identity>
}

/**
 * Renews the credential of a connection in-band: the same user gets a newer credential, and leaves the rooms that it no
 * longer allows. Where that cannot be known for now, the connection ends and may come back.
 */
export class Renewals {
  readonly #options: RenewalsOptions

  constructor (options: RenewalsOptions) {
    this.#options = options
  }

  /**
   * @returns Unix milliseconds of the credential's expiry, where it has one
   * @throws Refusal when it is not accepted
   */
  async renew (connection: Peer, ticket: string): Promise<number | undefined> {
    const identity = await this.#redeem(connection, ticket)
    if (!connection.isOpen) throw new Refusal('not_joined')
    if (identity.userId !== connection.userId) {
      connection.close('forbidden', 'the ticket is another user\'s')
      throw new Refusal('forbidden')
    }
    this.#options.connections.renew(connection, identity)
    await this.#askAgain(connection, identity)
    return identity.exp === undefined ? undefined : Math.floor(identity.exp * 1_000)
  }

  async #redeem (connection: Peer, ticket: string): Promise<Identity> {
    const { revocations, redeem, replies } = this.#options
    const since = revocations.moment
    try {
      const identity = await redeem(ticket)
      revocations.check(since, { ...identity, connection: connection.id })
      return identity
    } catch (error) {
      throw replies.of(error, undefined, connection)
    }
  }

  async #askAgain (connection: Peer, identity: Identity): Promise<void> {
    const { access, joins, replies } = this.#options
    for (const membership of connection.rooms.all()) {
      if (membership.isByServer || membership.room.declaration.builtIn !== undefined) continue
      try {
        await access.authorize(membership.name, membership.room, identity)
      } catch (error) {
        // The connection may have left the room itself, and joined it again with an identity that was authorised
        // already.
        if (connection.rooms.get(membership.name) !== membership) continue
        const refusal = replies.of(error, membership.name, connection)
        if (!isForNow(refusal)) {
          joins.leaveByServer(connection, membership.name, refusal.code)
          continue
        }
        // A room that was left would be left for good; whoever comes back asks for it until it can be known.
        replies.note(connection, refusal, membership.name)
        connection.close('unavailable', `nobody can say now whether the new credential allows ${membership.name}`)
        return
      }
    }
  }
}
