import type { PresenceSnapshot } from '../adapters/adapter.js'
import type { JoinData } from '../protocol/server-frames.js'

function sizeOf (value: unknown): number { return value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value)) }

/** Keeps the count only, as in a room of too many users. */
function unlisted ({ sequence, total }: PresenceSnapshot): PresenceSnapshot { return { sequence, total } }

/**
 * Bounds the bytes of the member lists of one answer, for all its rooms together. A list that no longer fits is
 * replaced by its count.
 */
export class MemberLists {
  readonly #limit: number
  #bytes = 0

  constructor (limit: number) {
    this.#limit = limit
  }

  /** Bytes of the lists that fit. */
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
