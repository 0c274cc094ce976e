import type { JoinCommand } from '../protocol/frames.js'
import type { EventHead } from '../protocol/packet.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { ResolvedRoom } from '../rooms/declarations.js'

/**
 * Who sends a command: a connection, or a request over HTTP. What they may do differs, and how it is done; what is done
 * for them is the same.
 */
export interface Caller {
  readonly user: unknown
  readonly userId: string
  /** id of the connection; of a request, that of the connection which it has named as its own */
  readonly sender: string | undefined
  /** The room of a message or a question. @throws Refusal when the caller may not use it */
  use (room: string): Awaitable<UsedRoom>
  /** Enters a room and says itself what came of it. @throws Refusal when it cannot */
  join (command: JoinCommand): Awaitable<void>
  /** @throws Refusal when it is not there, or cannot leave */
  leave (room: string): Awaitable<void>
  /**
   * Takes a fresh credential.
   *
   * @returns Unix milliseconds of its end, where it has one
   * @throws Refusal when it is not taken
   */
  renew (ticket: string): Promise<number | undefined>
  /** Its connection has taken an acknowledged broadcast. */
  acked (id: string): Awaitable<void>
  /** Its connection has answered a ping. */
  pong (id: string): Awaitable<void>
  /** The cost of an answer, in messages above that of the command. */
  charge (cost: number): void
}

/** A room as one caller may use it. */
export interface UsedRoom extends ResolvedRoom {
  /** Asked right before a message's handler. @throws Refusal when the caller may not go on */
  check (): void
  /** the event was sent past this caller */
  isExcepted (event: EventHead): boolean
}
