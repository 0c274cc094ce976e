import type { KnownText } from '../protocol/part.js'

/** What a member says that it has of the texts of a room, by its cursor or one by one. */
export interface KnownTexts {
  /** It has everything up to this version, but for the texts that grew then: */
  readonly version?: number | undefined
  /** of these it has so much, by the versions with which they began. */
  readonly lengths?: ReadonlyMap<number, number> | undefined
  readonly named?: readonly KnownText[] | undefined
}
