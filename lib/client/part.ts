import type { Refused } from './errors.js'
import type { LinkHost, ReconnectingLink, Shown } from './reconnecting-link.js'
import type { Handle, Room, RoomHost } from './room-types.js'
import type { CoreOptions, CoreClient, JoinOptions } from './types.js'

/** The inside of a client. A part puts functions of its own around those that it has. */
export interface Core {
  readonly url: string
  readonly options: CoreOptions
  readonly shown: Shown
  /** Set where the client holds the link for all tabs. */
  isHub?: boolean
  readonly rooms: Map<string, Room>
  /** The connection, before it is opened first. */
  readonly line: ReconnectingLink
  /** What the connection tells the client. */
  readonly host: LinkHost
  /** Ends a room for all who have joined it. @param isMeant whether the application wants it: it is no error then */
  end (room: Room, reason: Refused, isMeant: boolean): void
  /** Gives the room of this name, which is there from then on. */
  roomOf (name: string, options: JoinOptions): Room
  createRoom (name: string, options: JoinOptions, host: RoomHost): Room
  /** Makes what `join` returns. */
  createHandle (room: Room, host: RoomHost, signal?: AbortSignal): Handle
  /**
   * Says in a query what the client has of each room that a stream or poll asks for.
   *
   * @param most texts of each room that it names
   */
  whereOf (asked: readonly Room[], most?: number): string
  /** Makes another client, which is not connected to this one. */
  createClient (url: string, options: CoreOptions): CoreClient
}

/** A part of the client that not every page needs; it is called once, when the client is made. */
export type Part = (core: Core) => void
