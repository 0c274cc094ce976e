/** Stands in for `load-socket.ts` in React Native, whose bundler does not know how to load by a variable. */
export async function loadSocket (): Promise<never> { throw new Error('this platform has no WebSocket') }
