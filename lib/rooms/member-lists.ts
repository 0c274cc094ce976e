import type { PresenceSnapshot } from '../adapters/adapter.js'
import type { JoinData } from '../protocol/server-frames.js'

function sizeOf (value: unknown): number { return value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value)) }

/** Counted and not listed, as a room of too many users is. */
function unlisted ({ sequence, total }: PresenceSnapshot): PresenceSnapshot { return { sequence, total } }

/**
 * The member lists of one answer, which has a bound of bytes for all its rooms: those that do not fit any more are left
 * out.
 */
export class MemberLists {
  readonly #limit: number
  #bytes = 0

  constructor (limit: number) {
    this.#limit = limit
  }

  /** of the lists that fit */
  get bytes (): number { return this.#bytes }

  fit (snapshot: PresenceSnapshot): PresenceSnapshot {
    const bytes = sizeOf(snapshot.list)
    if (this.#bytes + bytes > this.#limit) return unlisted(snapshot)
    this.#bytes += bytes
    return snapshot
  }

  fitJoin (data: JoinData): JoinData {
    return data.members === undefined ? data : { ...data, members: this.fit(data.members) }
  }
}
