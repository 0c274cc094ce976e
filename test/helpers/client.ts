import type { Test } from 'tap'
import { WebSocket } from 'ws'
import type { CoreClient, CoreOptions } from '../../lib/client/core.js'
import { connect, type Client, type ConnectOptions } from '../../lib/client/index.js'
import type { RealtimeError } from '../../lib/client/types.js'
import { proxyTo, type FaultProxy } from './fault-proxy.js'
import { TRANSPORTS, type Running } from './net.js'
import { until } from './servers.js'

export interface Watched {
  readonly client: Client
  readonly states: string[]
  readonly errors: Array<{ code?: string, room?: string, message?: string }>
  readonly gaps: string[]
}

/** A client of a test's server, closed by the test, with all that it says written down. */
export function dial (
  t: Test,
  { url, token }: Pick<Running, 'url' | 'token'>,
  user: string,
  options: ConnectOptions = {}
): Watched {
  const client = connect(`${url}/ws`, { token: () => token(user), WebSocket, timeout: 2_000, ...options })
  const watched: Watched = { client, states: [], errors: [], gaps: [] }
  client.on('state', ({ state }) => { watched.states.push(state!) })
  client.on('error', (error) => { watched.errors.push(error) })
  client.on('gap', ({ room }) => { watched.gaps.push(room!) })
  t.teardown(() => { client.close() })
  return watched
}

/** The same server, behind a proxy whose links can be made to fail. */
export async function behind (
  t: Test,
  app: Running
): Promise<{ proxy: FaultProxy, url: string, token: Running['token'] }> {
  const { proxy, port } = await proxyTo(t, app.port)
  return { proxy, url: `http://127.0.0.1:${port}`, token: app.token }
}

export async function isOpen ({ client, errors }: Watched): Promise<void> {
  await until(`the client is open; errors: ${JSON.stringify(errors)}`, () => client.state === 'open')
}

export async function rejection (promise: Promise<unknown>): Promise<RealtimeError> {
  return await promise.then(
    (value) => { throw new Error(`resolved with ${JSON.stringify(value)}`) },
    (error: RealtimeError) => error
  )
}

/** Holds that a client dials nothing by any transport, whatever is called, and that it can be closed. */
export async function dialsNothing (t: Test, make: (options: CoreOptions) => CoreClient): Promise<void> {
  let dials = 0
  class Dialled { constructor () { dials++ } }
  const fetch = async (): Promise<never> => { throw new Error(`${++dials}`) }
  for (const transport of TRANSPORTS) {
    const client = make({ WebSocket: Dialled, fetch, token: () => `${++dials}`, transports: [transport] })
    const { joined } = client.join('chat/1')
    client.reconnect()
    await new Promise((resolve) => { setTimeout(resolve) })
    t.equal(client.state, 'connecting')
    client.close()
    t.match(await rejection(joined), { code: 'closed' })
  }
  t.equal(dials, 0)
}

export { until }
