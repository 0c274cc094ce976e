import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import type { Awaitable } from '../structures/awaitable.js'

type MakesData = (context: unknown) => Awaitable<unknown>

/** The room option `presence` as an object. */
export interface PresenceSettings {
  /** Makes what members see of a user. */
  readonly data?: MakesData | undefined
  /** Whether a member may change what is seen of it. */
  readonly update?: boolean | undefined
}

/** What the room option `presence` may be. */
export type PresenceOption = MakesData | boolean | PresenceSettings | undefined

/** @throws REALTIME_ERR_OPTIONS for what is none of its forms */
export function presenceSettings (room: string, option: PresenceOption): PresenceSettings | undefined {
  if (option === undefined || option === false) return undefined
  if (option === true) return {}
  if (typeof option === 'function') return { data: option }
  const { data, update, ...unknown } = option ?? {}
  const isKnown = typeof option === 'object' && option !== null && Object.keys(unknown).length === 0
  if (isKnown && (data === undefined || typeof data === 'function') &&
    (update === undefined || typeof update === 'boolean')) {
    return option
  }
  throw new REALTIME_ERR_OPTIONS(
    `options of "${room}".presence is true, a function that makes the member data, or { data, update }`
  )
}
