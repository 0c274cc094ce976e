import { connect, type Client, type ConnectOptions } from 'fastify-realtime/client'
import { WebSocket } from 'ws'

/** A client of Node with the cookie of a session. @param site such as `https://app.example.com` */
export function connectWithCookie (site: string, cookie: string, options: ConnectOptions = {}): Client {
  const headers = { cookie, origin: site }              // a cookie counts with an origin only
  return connect(`${site}/ws`, {
    ...options,
    WebSocket: class extends WebSocket {
      constructor (url: string, protocols: string[]) { super(url, protocols, { headers }) }
    },
    fetch: async (url, init) => await fetch(url, { ...init, headers: { ...init?.headers as object, ...headers } })
  })
}
