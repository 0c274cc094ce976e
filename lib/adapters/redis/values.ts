import type { Packet } from '../../protocol/packet.js'
import { latestTtl } from '../../retention/latest.js'
import type { AdapterHost, RoomSettings } from '../adapter.js'
import type { Followed } from '../broker/followed-rooms.js'
import { inSteps, placeOf, publicationOf } from '../broker/lost-values.js'
import { decodePayload, encodePayload } from '../broker/payload.js'
import type { Unread } from '../broker/unread.js'
import { newEpoch } from '../history/stream.js'
import type { Keys } from './keys.js'
import type { RedisLink } from './link.js'
import { LATEST, PUT_BACK } from './scripts/stream.js'

/** What is kept of a room that is followed. */
export interface Valued extends Pick<Followed, 'room' | 'settings'> {
  /** The newest version of a `latest` value that this node has seen of it. */
  newest: number
}

export interface RedisValuesOptions {
  readonly link: RedisLink
  readonly keys: Keys
  /** Names this adapter among all that publish. */
  readonly tag: string
  readonly unread: Unread
  /** A room with members here. */
  readonly followed: (room: string) => Valued | undefined
  /** What this node has seen of the room's stream. */
  readonly seen: (room: string) => string
  readonly host: () => Pick<AdapterHost, 'event' | 'values'>
}

/** Reads the current values of rooms, and puts back those that the broker has lost. */
export class RedisValues {
  readonly #options: RedisValuesOptions
  #count = 0

  constructor (options: RedisValuesOptions) {
    this.#options = options
  }

  /** Takes a version that was seen. */
  saw (room: string, version: number): void {
    const followed = this.#options.followed(room)
    if (followed !== undefined && version > followed.newest) followed.newest = version
  }

  /** The newest version that was seen; 0 where nothing is known. */
  newest (room: string): number { return this.#options.followed(room)?.newest ?? 0 }

  /** Whether the broker, which has given no version above this one, has lost what this node has seen. */
  isLost (room: string, version: number): boolean { return version < this.newest(room) }

  async read (room: string, settings: RoomSettings): Promise<readonly Packet[]> {
    const { link, keys, unread } = this.#options
    const [now, ...values] = await link.script(LATEST, [keys.latest(room), keys.order(room)], []) as string[]
    const ttl = latestTtl(settings)
    return values.flatMap((value) => {
      const end = value.indexOf('\n')
      const [version, until] = value.slice(0, end).split(' ').map(Number) as [number, number]
      try {
        const age = Math.max(0, Number(now) + ttl - until)
        const packet = decodePayload(room, value.slice(end + 1), { version, age })
        this.saw(room, version)
        return packet
      } catch (error) {
        unread.failed(error, 'latest', value.length)
        return []
      }
    })
  }

  /**
   * Reads the values of a room again, which members get as far as they do not have them. What is shown here and is
   * missing or older there was lost, unless it is on its way or has just ended; the broker tells.
   *
   * @param isLost whether the broker does not know the versions either: it is told the newest, so that what is set from
   *   then on is above it
   */
  async refresh (valued: Valued | undefined, isLost = false): Promise<void> {
    if (valued === undefined) return
    const { room, settings } = valued
    const { followed, host } = this.#options
    const kept = await this.read(room, settings)
    if (followed(room) !== valued) return
    const versions = new Map(kept.map((packet) => [placeOf(packet), packet.event!.version!]))
    const lost = [...host().values(room)].filter((packet) => {
      const { version } = packet.event!
      return version !== undefined && version > (versions.get(placeOf(packet)) ?? 0)
    })
    for (const packet of kept) void host().event(room, packet)
    // The newest go first: where not all have room, the oldest stay away.
    const steps = [...inSteps(lost.sort((a, b) => b.event!.version! - a.event!.version!))]
    if (isLost && steps.length === 0) steps.push([])
    for (const some of steps) await this.#putBack(room, settings, some)
  }

  async #putBack (room: string, settings: RoomSettings, some: readonly Packet[]): Promise<void> {
    const { link, keys, tag, seen } = this.#options
    const names = [keys.meta(room), keys.stream(room), keys.events(room), keys.latest(room), keys.order(room)]
    const ttl = latestTtl(settings)
    const values = some.flatMap((packet) => {
      const { version = 0, age = 0, isRemoval } = packet.event!
      const payload = encodePayload(`${tag}=${(++this.#count).toString(36)}`, publicationOf(packet))
      return [placeOf(packet), version, Math.ceil(ttl - age), isRemoval === true ? '1' : '', payload]
    })
    await link.script(PUT_BACK, names, [link.run, newEpoch(), seen(room), this.newest(room), ...values])
  }
}
