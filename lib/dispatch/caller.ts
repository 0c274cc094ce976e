import type { Refusal } from '../errors/refusal.js'
import type { ClientAnswer, JoinCommand } from '../protocol/frames.js'
import type { EventHead } from '../protocol/packet.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { ResolvedRoom } from '../rooms/declarations.js'
import type { GiveUp } from './departures.js'

/** A message that a caller waits for. */
export interface Asked {
  readonly room: string
  readonly used: UsedRoom
  /** Under which the caller may come back for the answer. */
  readonly messageId: string | undefined
}

/**
 * The sender of a command: a connection, or a request over HTTP. They differ in what they may do and in how it is done;
 * what is done for them is the same.
 */
export interface Caller {
  readonly user: unknown
  readonly userId: string
  /** Id of the connection; for a request, that of the connection which it has named as its own. */
  readonly sender: string | undefined
  /** Whether it is an HTTP request, which may have a trace of its own. */
  readonly isRequest: boolean
  /**
   * Returns the room of a message or a request.
   *
   * @throws Refusal when the caller may not use it
   */
  use (room: string): Awaitable<UsedRoom>
  /**
   * Enters a room, and answers the command itself.
   *
   * @throws Refusal when it cannot enter
   */
  join (command: JoinCommand): Awaitable<void>
  /** @throws Refusal when it is not in the room or cannot leave it */
  leave (room: string): Awaitable<void>
  /**
   * Takes a fresh credential.
   *
   * @returns Unix milliseconds of its expiry, where it has one
   * @throws Refusal when it is not accepted
   */
  renew (ticket: string): Promise<number | undefined>
  /** Takes its connection's answer to an acknowledged broadcast. */
  acked (id: string, answer: ClientAnswer): Awaitable<void>
  /** Takes its connection's answer to a ping. */
  pong (id: string): Awaitable<void>
  /**
   * Calls back once when nobody waits for the answer any more: the caller has gone for good, its access was revoked,
   * the server has taken the room from it, or the server closes.
   *
   * @returns ends it
   */
  whenGone (giveUp: GiveUp, asked: Asked): () => void
  /** Charges the cost of an answer, in messages above that of the command. */
  charge (cost: number): void
}

/** A room as one caller may use it. */
export interface UsedRoom extends ResolvedRoom {
  /**
   * Called right before a message's handler.
   *
   * @throws Refusal when the caller may no longer use the room
   */
  check (): void
  /** Why the server has taken the caller out of the room; absent while it has not. */
  readonly lost: Refusal | undefined
  /** Whether the event excludes this caller. */
  isExcepted (event: EventHead): boolean
}
