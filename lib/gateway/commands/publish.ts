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
  const key = keyOf(remote, env)
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
  let response: Response
  try {
    response = await fetch(url, {
      method: 'POST',
      redirect: 'error',
      headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT)
    })
  } catch (error) {
    const { cause, name } = error as Error
    const { code } = (cause ?? {}) as { code?: string }
    throw new CliError(`${new URL(url).origin} does not answer (${code ?? (name === 'TimeoutError' ? 'timeout' : 'unreachable')}); is --url right?`)
  }
  const text = await response.text()
  const answer = parseAnswer(text)
  if (response.ok) return answer
  const { code = 'no code', message = 'no message' } = (answer ?? {}) as { code?: string, message?: string }
  throw new CliError(`refused with ${response.status} ${code}: ${message}`)
}

function parseAnswer (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
