interface Counts { readonly bytesWritten?: unknown, readonly writeQueueSize?: unknown }

/** What a socket of Node says of the bytes that were given to it. It is not documented, so any of it may be missing. */
interface Handled { readonly _handle?: Counts & { readonly _parent?: Counts | null } | null }

/**
 * Returns how many bytes the kernel has accepted from a socket in its life. A stream tells only that a whole write is
 * over, and one frame may take minutes on a slow link. Node's own timeout of a socket looks at its handle for the same
 * reason.
 *
 * @returns `undefined` where that is not known
 */
export function takenBy (socket: unknown): number | undefined {
  const handle = (socket as Handled | null | undefined)?._handle
  // The handle of TLS counts a write only once all of it is over; below it is that of TCP.
  const { bytesWritten, writeQueueSize } = handle?._parent ?? handle ?? {}
  return typeof bytesWritten === 'number' && typeof writeQueueSize === 'number' ? bytesWritten - writeQueueSize : undefined
}
