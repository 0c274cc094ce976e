import { connect } from 'fastify-realtime/client'

/** Who this tab is: another tab may be somebody else. */
export const me = sessionStorage.getItem('name') ??
  new URLSearchParams(location.search).get('name') ?? `Guest ${Math.ceil(Math.random() * 999)}`
sessionStorage.setItem('name', me)

async function token (): Promise<string> {
  const answer = await fetch('/login', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ name: me })
  })
  if (!answer.ok) throw new Error(`/login answers ${answer.status}`)   // then the client tries again
  return (await answer.json() as { token: string }).token
}

/** Made once, outside of every component: components come and go, the connection stays. */
export const client = connect('/ws', { token })
