import type { EventData } from '../shared/payload.js'
import type { ServerConfig } from '../shared/messages.js'

/** One server under test. Rooms are joined by `?room=`, every connection shows a JWT in its Authorization header. */
export interface PeerServer {
  readonly port: number
  /** One event to the members of a room. */
  broadcast (room: string, data: EventData): void
  /** writes with `send`, which the kernel does not count as `write` */
  readonly usesSend?: boolean
  /** writes that the server counts itself */
  writes? (): Promise<number>
  /** CPU time of its other processes, in microseconds */
  others? (): Promise<{ readonly user: number, readonly system: number }>
}

/** What stands in the tokens of the benchmark. */
export interface User { readonly sub: string }

export interface PeerModule {
  start (config: ServerConfig): Promise<PeerServer>
}

/** permessage-deflate as `ws` wants it, with the same parameters for everyone who uses it. */
export const DEFLATE = { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 128 }

/** What a client may say in a chat, checked by hand where the server has no schemas. */
export function isSayable (data: unknown): data is EventData {
  const { at, text } = (data ?? {}) as Partial<EventData>
  return typeof at === 'string' && typeof text === 'string' && text.length <= 2_000
}

export function bearer (authorization: string | undefined): string {
  return authorization?.replace(/^Bearer /, '') ?? ''
}

/** Decoded values of `?room=`. */
export function roomsIn (query: string): string[] {
  return new URLSearchParams(query).getAll('room')
}
