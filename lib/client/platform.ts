import type { SocketClass } from './socket.js'

interface Target {
  addEventListener? (type: string, listener: (event: { type: string }) => void, options: { signal: AbortSignal }): void
}

/** The part of Web Locks that sharing uses. */
export interface Locks {
  request (
    name: string,
    options: { signal?: AbortSignal, steal?: boolean, mode?: 'shared' },
    held: () => Promise<unknown>
  ): Promise<unknown>
}

/** The part of a BroadcastChannel that sharing uses. */
export interface Channel {
  onmessage: ((event: { data: never }) => void) | null
  postMessage (message: object): void
  close (): void
}

/** Globals that a browser has and Node may lack. */
export interface Platform extends Target {
  WebSocket?: SocketClass
  URL?: typeof URL
  location?: { href: string }
  origin?: string
  navigator?: { onLine?: boolean, product?: string, locks?: Locks }
  BroadcastChannel?: new (name: string) => Channel
  document?: Target & { hidden: boolean }
}
// The types of Node know some of them otherwise.
export const here = globalThis as unknown as Platform

/** Whether answers of the platform's own `fetch` can be read while they come, which those of React Native cannot. */
export function canStream (ask: unknown): boolean {
  return typeof TextDecoder === 'function' && (ask !== globalThis.fetch || 'body' in (globalThis.Response?.prototype ?? {}))
}

/** The UTF-8 of a text, each byte as one character. */
export function utf8 (text: string): string {
  return encodeURIComponent(text).replace(/%(..)/g, (_, hex) => String.fromCharCode(+`0x${hex}`))
}

/** Whether the tabs of this browser can hear each other, and know which of them are there. */
export function canShare (): boolean { return !!here.navigator?.locks && !!here.BroadcastChannel }
