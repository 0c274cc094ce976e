import { connect, type Client } from 'fastify-realtime/client'

/** Against these only a new login helps. What else ends a client (`forbidden`, `user_limit`, ...) is to be read. */
const LOGIN: ReadonlySet<string | undefined> = new Set(['unauthorized', 'token_expired', 'revoked'])

/** @param toLogin leads to the login page, such as `() => location.assign('/login')` */
export function connectUntilLogin (site: string, toLogin: () => void): Client {
  const client = connect(`${site}/ws`, {
    async token () {
      const answer = await fetch(`${site}/token`, { method: 'POST' })
      if (answer.status === 401) {
        client.close()                                  // or it would ask again and again, with `token_failed`
        toLogin()
      }
      if (!answer.ok) throw new Error(`/token answers ${answer.status}`)
      return await answer.text()
    }
  })
  client.on('state', ({ state, code }) => {
    if (state === 'closed' && LOGIN.has(code)) toLogin()
  })
  return client
}
