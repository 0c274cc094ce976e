import type { NatsConnection } from '@nats-io/transport-node'

/** The client's attempt to connect, which its types do not show. */
interface Attempt {
  readonly protocol?: {
    readonly options?: { timeout?: number }
    readonly transport?: { readonly isClosed?: boolean }
    /** Ends the attempt as failed; absent where none is under way. */
    readonly connectError?: (error: Error) => void
  }
}

/**
 * Ends an attempt to connect whose link broke after the server's greeting and before its first answer. The client tells
 * that the link broke, but goes on waiting for the answer until the whole time of an attempt has passed, which is
 * seconds. Ended, it tries again at once.
 */
export function endBrokenAttempt (connection: NatsConnection): void {
  const { protocol } = connection as NatsConnection & Attempt
  // A link that is open belongs to an attempt that began since.
  if (protocol?.transport?.isClosed === true) protocol.connectError?.(new Error('the link broke while it was opened'))
}

/**
 * Sets how long each attempt to connect again may take: the client has one option for these and the first one.
 *
 * @param timeout milliseconds
 */
export function limitAttempts (connection: NatsConnection, timeout: number): void {
  const { protocol } = connection as NatsConnection & Attempt
  if (protocol?.options !== undefined) protocol.options.timeout = timeout
}
