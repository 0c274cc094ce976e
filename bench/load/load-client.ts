import type { Place } from './place.js'

/** One client of a load generator, whatever it connects by. */
export interface LoadClient {
  /** resolves when it is admitted and in its rooms */
  readonly ready: Promise<void>
  /** the first of its rooms */
  readonly room: string
  /** where it is, if it remembers */
  readonly place: Place | undefined
  /** an ack arrived */
  onAck: (() => void) | undefined
  /** an event arrived at a client that reads */
  onEvent: ((payload: Buffer) => void) | undefined
  /** Sends a message; by WebSocket only. */
  send (text: string): void
  /** Cuts its connection. */
  end (): void
}
