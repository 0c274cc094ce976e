import type { NatsConnection } from '@nats-io/transport-node'
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'

/** The client's attempt to connect, which its types do not show. */
interface Attempt {
  readonly protocol?: {
    readonly options?: { timeout?: number }
    readonly transport?: { readonly isClosed?: boolean, readonly socket?: Socket, discard? (): void }
    /** Ends the attempt as failed; absent where none is under way. */
    readonly connectError?: (error: Error) => void
  }
}

/** Channel on which Node tells of each socket that this process opens. */
const OPENED = 'net.client.socket'

/**
 * Connects for the first time. The client gives no connection where that fails, and leaves its last socket open until
 * the server ends it, which would keep the process alive: so those that it has opened are ended here.
 */
export async function dialFirst<T> (dial: () => Promise<T>): Promise<T> {
  const sockets: Socket[] = []
  const own = new AsyncLocalStorage<true>()
  const opened = (message: unknown): void => {
    if (own.getStore() === true) sockets.push((message as { readonly socket: Socket }).socket)
  }
  subscribe(OPENED, opened)
  try {
    return await own.run(true, dial)
  } catch (error) {
    for (const socket of sockets) socket.destroy()
    throw error
  } finally {
    unsubscribe(OPENED, opened)
  }
}

/** Ends the socket of an attempt that is under way while the connection is closed, for the same reason. */
export function endAttempt (connection: NatsConnection): void {
  const { protocol } = connection as NatsConnection & Attempt
  protocol?.transport?.discard?.()
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
 * Hears the errors of the client's socket also when the client hears them no more. A client that gives a socket up
 * takes all listeners off it. When it has written in the same turn to a server that was ending, the error of that write
 * comes behind, and Node ends a process in which nobody hears it. To be called for each link that opens.
 */
export function hearErrors (connection: NatsConnection): void {
  const socket = (connection as NatsConnection & Attempt).protocol?.transport?.socket
  if (socket === undefined) return
  const takeOff = socket.removeAllListeners.bind(socket)
  socket.removeAllListeners = (...event) => {
    takeOff(...event)
    return socket.on('error', () => {})
  }
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
