import { loadSocket } from './load-socket.js'
import type { SocketClass } from './socket.js'

interface Target {
  addEventListener? (type: string, listener: (event: { type: string }) => void, options: { signal: AbortSignal }): void
}

/** Globals that a browser has and Node may lack: the types of Node know some of them otherwise. */
export const here = globalThis as unknown as Target & {
  WebSocket?: SocketClass
  location?: { href: string }
  origin?: string
  navigator?: { onLine?: boolean, product?: string }
  document?: Target & { hidden: boolean }
}

/** @throws where the platform has no WebSocket and the package `ws` is not installed */
export async function findSocket (own: unknown): Promise<SocketClass> {
  return own as SocketClass | undefined ?? here.WebSocket ?? await loadSocket()
}

/** Whether answers of the platform's own `fetch` can be read while they come, which those of React Native cannot. */
export function canStream (ask: unknown): boolean {
  return typeof TextDecoder === 'function' && (ask !== globalThis.fetch || 'body' in (globalThis.Response?.prototype ?? {}))
}

/** The UTF-8 of a text, each byte as one character. */
export function utf8 (text: string): string {
  return encodeURIComponent(text).replace(/%(..)/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)))
}
