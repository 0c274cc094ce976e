import type { Refusal } from '../errors/refusal.js'
import type { JoinData } from '../protocol/server-frames.js'

/** The result of entering one room. */
export type JoinResult = { readonly name: string, readonly data: JoinData } | RefusedRoom

export interface RefusedRoom { readonly name: string, readonly refusal: Refusal }

/**
 * The results for the rooms of a poll. `start` lets the events of a room in; it is called in the turn in which the
 * answer can name the room.
 */
export interface TakenRooms {
  readonly entered: readonly JoinResult[]
  readonly starts: ReadonlyArray<() => void>
  /** Rooms that were refused again; the answer tells of them. */
  readonly refused: readonly RefusedRoom[]
}
