import type { Position } from '../protocol/position.js'
import type { Refused } from './errors.js'
import type { Ending } from './event-iterator.js'
import type { Frame, JoinData } from './links/link.js'
import type { Listeners } from './listeners.js'
import type { GrowingTexts } from './growing-texts.js'
import type { Take } from './token-bucket.js'
import type { CoreRoom, NamedMessages, SendOptions } from './types.js'

/** A room whose contract is not known. */
export type AnyRoom = CoreRoom<NamedMessages, Record<string, unknown>, unknown>

/** What became of a room when it was joined first. */
export interface Entered {
  readonly resumed?: boolean
  readonly growing?: readonly string[] | undefined
}

/**
 * What one call of `join` has given: its listeners, messages and loops are its own and end with it, the room ends with
 * its last handle.
 */
export interface Handle extends Ending {
  readonly room: Room
  readonly host: RoomHost
  readonly public: AnyRoom
  readonly on: Listeners['on']
  /** Tells its listeners of an event. What holds events puts itself in its place. */
  emit: Listeners['emit']
  /** Tells that the room is joined. */
  enter: (entered: Entered) => void
  /** @param isMeant whether the application ended it: loops over its events then end without an error */
  close (error: Error, isMeant: boolean): void
}

export interface RoomHost {
  send (handle: Handle, type: string, data: unknown, options?: SendOptions): Promise<unknown>
  leave (handle: Handle): Promise<void>
  /** Asks the server for something of a room, and calls back with the answer; without one when the link ends. */
  ask (type: string, room: string, data: object | undefined, done: (answer?: Frame) => void): void
  /** Tells the application of something. */
  readonly say: Listeners['emit']
  /** Reports a failure in a room to the application. */
  fail (reason: Refused, more: { readonly room: string, readonly attempt?: number, readonly retryIn?: number }): void
}

/** A room, with the state that the client keeps of it for all who have joined it. */
export interface Room {
  readonly name: string
  readonly members: AnyRoom['members']
  readonly state: AnyRoom['state']
  /** Set by the part that puts texts together. */
  texts?: GrowingTexts
  /** Those who have joined and not left. */
  readonly handles: Set<Handle>
  /** What the server said when it was joined on the present link. */
  entered: JoinData
  /** Sequence of the presence, for the part that has the members; -1 where none was told. */
  sequence?: number
  /** Whether the members are all known; of too many there is no list. */
  isListed?: boolean
  /** Position of the last event that was delivered. */
  position: Position | undefined
  /** Events that the first join replays; absent after it. */
  last: number | undefined
  /** Whether it is joined on the present link. */
  isIn?: boolean
  isAsked?: boolean | undefined
  /** Whether it was joined before, so that the next join is a return. */
  wasIn?: boolean
  /** Time by `now()` before which the room is not joined again. */
  until: number
  attempt: number
  /** Messages that are under way and keep later ones waiting, counted anew whenever some may be sent. */
  flying?: number
  /** Times by `now()` before which messages of each weight are not sent again, once some were refused for now. */
  readonly sendAt: number[]
  /** The room's own rate, where it has one. */
  take?: Take | undefined
  /** Tells all who have joined it of an event. */
  emit: Listeners['emit']
  /** Tells that events were lost. @param isWhole whether anything else may have been lost as well */
  gap (isWhole?: boolean): void
  enter (data: JoinData): void
  /** Tells that the link is gone. */
  out (): void
  /** Handles a frame that names this room. @returns what the listeners return, where it was an event for them */
  frame (frame: Frame): Array<Promise<unknown>> | void
}
