import type { SocketClass } from './socket.js'

// The name is a variable so that no bundler takes the package into a page. Each bundler has its own word for leaving
// the import as it is: without its word, webpack would put a function that always throws in its place.
const load = (name: string): Promise<{ WebSocket: SocketClass }> => import(
  /* webpackIgnore: true */ /* @vite-ignore */ name
) as Promise<{ WebSocket: SocketClass }>

/**
 * Loads the class of the package `ws`. package.json puts `no-socket.ts` in the place of this file for React Native.
 */
export async function loadSocket (): Promise<SocketClass> { return (await load('ws')).WebSocket }
