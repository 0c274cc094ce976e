interface Target {
  addEventListener? (type: string, listener: (event: { type: string }) => void, options: { signal: AbortSignal }): void
}

/** The part of the WebSocket interface that the client uses. */
export interface Socket {
  onmessage: ((event: { data: string }) => void) | null
  onclose: ((event: { code: number, reason: string }) => void) | null
  onerror: (() => void) | null
  readonly readyState: number
  send (text: string): void
  close (): void
}
export type SocketClass = new (url: string, protocols: string[]) => Socket

/** Globals that a browser has and Node may lack: the types of Node know some of them otherwise. */
export const here = globalThis as unknown as Target & {
  WebSocket?: SocketClass
  location?: { href: string }
  origin?: string
  navigator?: { onLine?: boolean, product?: string }
  document?: Target & { hidden: boolean }
}

// The name is a variable so that no bundler takes the package into a page. Each bundler has its own word for leaving
// the import as it is: without its word, webpack would put a function that always throws in its place.
const load = (name: string): Promise<{ WebSocket: SocketClass }> => import(
  /* webpackIgnore: true */ /* @vite-ignore */ name
) as Promise<{ WebSocket: SocketClass }>

/** @throws where the platform has no WebSocket and the package `ws` is not installed */
export async function findSocket (own: unknown): Promise<SocketClass> {
  return own as SocketClass | undefined ?? here.WebSocket ?? (await load('ws')).WebSocket
}
