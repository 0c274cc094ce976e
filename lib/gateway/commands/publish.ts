import { CliError } from './cli-error.js'
import { checkRoom, endpointOf, keyOf, tokenOf, type Remote } from './remote.js'

/** Milliseconds for the answer of the server. */
const TIMEOUT = 10_000

/**
 * Publishes one event by the server API with a key, or sends one message as the user of a token.
 *
 * @returns what the server answered
 */
export async function publish (
  [room, event, json]: readonly string[], remote: Remote, env: Readonly<Record<string, string | undefined>>
): Promise<unknown> {
  const name = checkRoom(room)
  if (event === undefined || json === undefined) throw new CliError('publish takes a room, an event and its data as JSON, such as: publish chat/42 said \'{"text":"hello"}\'')
  const data = parse(json)
  const url = endpointOf(remote, env)
  // A token that is given means its user, whatever key the environment has.
  const key = remote.token === undefined ? keyOf(remote, env) : remote.key
  const token = tokenOf(remote, env)
  if (key !== undefined) return await post(`${url}/api/publish`, key, { room: name, event, data })
  if (token !== undefined) return await post(`${url}/${name}`, token, { type: event, data })
  throw new CliError('give --key (or REALTIME_KEY) of the server API, or --token (or REALTIME_TOKEN) to send a message as its user')
}

function parse (json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (error) {
    throw new CliError(`the data is not JSON (${(error as Error).message}); quote it for the shell: '{"text":"hello"}'`)
  }
}

async function post (url: string, credential: string, body: object): Promise<unknown> {
  const { status, ok, text } = await ask(url, credential, body)
  const answer = parseAnswer(text)
  const { origin } = new URL(url)
  // A redirect is not followed: its target would be told the credential.
  if (status >= 300 && status < 400) throw new CliError(`${origin} leads elsewhere (${status}): give the URL that it leads to as --url`)
  if (answer === undefined) throw new CliError(`${origin} answered ${status} without JSON; is --url right?`)
  if (ok) return answer
  const { code = 'no code', message = 'no message' } = (answer ?? {}) as { code?: string, message?: string }
  throw new CliError(`refused with ${status} ${code}: ${message}`)
}

/** @throws CliError where no whole answer comes in time */
async function ask (
  url: string, credential: string, body: object
): Promise<{ readonly status: number, readonly ok: boolean, readonly text: string }> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT)
    })
    const { status, ok } = response
    return { status, ok, text: await response.text() }
  } catch (error) {
    const { cause, name } = error as Error
    const { code } = (cause ?? {}) as { code?: string }
    throw new CliError(`${new URL(url).origin} does not answer (${code ?? (name === 'TimeoutError' ? 'timeout' : 'unreachable')}); is --url right?`)
  }
}

function parseAnswer (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
