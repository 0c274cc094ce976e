import type { Peer, Peers } from '../admission/peer.js'
import type { Denials } from '../auth/denials.js'
import type { Revocations } from '../auth/revocations.js'
import type { Joins } from '../dispatch/joins.js'
import { Rerun } from '../structures/rerun.js'
import { after } from '../structures/timers.js'

export interface RecheckOptions {
  readonly connections: Peers
  readonly denials: Pick<Denials, 'find' | 'newest' | 'heardOf'>
  readonly revocations: Revocations
  readonly joins: Pick<Joins, 'leaveByServer'>
}

/** Connections that are compared at a time, and milliseconds between two such batches: 1 000 connections a second. */
const BATCH = 25
const PAUSE = 25
/** Milliseconds until all are compared again after the adapter could not be asked. */
const AGAIN = 1_000
/** Milliseconds in which other nodes have told a broker that has lost its data what they remember. */
const RESTORED = 15_000

/**
 * Compares whoever is connected with the denials that the adapter keeps, where this node may have missed a revocation
 * for good: who is kept out is asked for at each entry, and a connection that stands enters nothing.
 */
export class Recheck {
  readonly #options: RecheckOptions
  readonly #running = new Rerun(() => this.#all())
  /** Which revocations of rooms a comparison has found, and acted on. */
  readonly #acted = new WeakMap<Peer, Map<string, number>>()
  #again: NodeJS.Timeout | undefined
  #restored: NodeJS.Timeout | undefined
  #isStopped = false

  constructor (options: RecheckOptions) {
    this.#options = options
  }

  /**
   * Compares all, and again soon where the adapter cannot be asked; never rejects.
   *
   * @param hasForgotten whether the broker has lost its data: other nodes tell it what they remember
   */
  async run (hasForgotten = false): Promise<void> {
    if (hasForgotten) {
      this.#restored ??= after(() => {
        this.#restored = undefined
        void this.run()
      }, RESTORED).unref()
    }
    await this.#running.run().catch(() => {
      if (this.#isStopped) return
      this.#again ??= after(() => {
        this.#again = undefined
        void this.run()
      }, AGAIN).unref()
    })
  }

  stop (): void {
    this.#isStopped = true
    clearTimeout(this.#again)
    clearTimeout(this.#restored)
  }

  async #all (): Promise<void> {
    const missing: unknown[] = []
    // What cannot be said of one, since a shard of the broker is silent, says nothing about the others.
    const compare = async (batch: readonly Peer[]): Promise<void> => {
      for (const each of await Promise.allSettled(batch.map((peer) => this.#compare(peer)))) {
        if (each.status === 'rejected') missing.push(each.reason)
      }
    }
    let batch: Peer[] = []
    for (const peer of this.#options.connections.values()) {
      if (batch.push(peer) < BATCH) continue
      await compare(batch)
      batch = []
      await new Promise<void>((resolve) => { after(resolve, PAUSE) })
      if (this.#isStopped) return
    }
    await compare(batch)
    if (missing.length > 0) throw missing[0]
  }

  async #compare (peer: Peer): Promise<void> {
    if (!peer.isOpen) return
    const { connections, denials, revocations, joins } = this.#options
    const { userId, identity } = peer
    const names = Array.from(peer.rooms.all(), ({ room: { name } }) => name).filter((name) => !name.startsWith('@'))
    const { isUser, isToken, hasLost, rooms, missing } = await denials.find(identity, names)
    // As `revoke` does: what is under way for the user, or with the token, ends too.
    if (isUser || isToken) {
      revocations.add(isUser ? { user: userId } : { tokenId: identity.tokenId })
      peer.close('revoked')
    }
    // It is asked at each entry from now on.
    if (hasLost) connections.renew(peer, { ...peer.identity, hasLost })
    for (const room of rooms) {
      const membership = peer.rooms.get(room)
      const newest = await denials.newest(userId, room)
      // It may have been taken out, and put back, while that was asked.
      if (peer.rooms.get(room) !== membership) continue
      const acted = this.#acted.get(peer) ?? new Map<string, number>()
      // With the newest that this node has acted on nobody was left there: the server has put it back since.
      const last = Math.max(denials.heardOf(userId, room) ?? -1, acted.get(room) ?? -1)
      if (membership?.isByServer === true && newest <= last) continue
      this.#acted.set(peer, acted.set(room, newest))
      revocations.add({ user: userId, room, isTaken: true })
      joins.leaveByServer(peer, room, 'revoked')
    }
    if (missing !== undefined) throw missing
  }
}
