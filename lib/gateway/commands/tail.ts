import { connect, type RealtimeError } from '../../client/index.js'
import { CliError } from './cli-error.js'
import { checkRoom, endpointOf, tokenOf, type Remote } from './remote.js'

export interface TailOptions extends Remote {
  /** Events that are shown of what is kept. */
  readonly last?: string | undefined
}

/** Where a command writes. */
export interface Output {
  /** Resolves when more may be written. */
  line (text: string): Promise<void>
  note (text: string): void
}

/**
 * Writes each event of a room as one line of JSON, and goes on after a break where it was.
 *
 * @param signal ends it
 */
export async function tail (
  [given]: readonly string[],
  options: TailOptions,
  env: Readonly<Record<string, string | undefined>>,
  output: Output,
  signal: AbortSignal
): Promise<void> {
  const name = checkRoom(given)
  const last = Number(options.last ?? 0)
  if (!Number.isInteger(last) || last < 0) throw new CliError('--last is a number of events')
  const token = tokenOf(options, env)
  if (token === undefined) throw new CliError('give --token (or REALTIME_TOKEN) of a user who may enter the room')
  const client = connect(endpointOf(options, env), { token, signal })
  client.on('error', ({ code, message, retryIn }) => {
    if (retryIn !== undefined) output.note(`${code}: ${message}; trying again in ${Math.ceil(retryIn / 1_000)} s`)
  })
  client.on('gap', ({ room }) => { output.note(`gap: events of ${room!} were lost`) })
  try {
    const room = client.join({ name }, last === 0 ? {} : { last })
    for await (const event of room) await output.line(JSON.stringify({ room: name, ...event as object }))
  } catch (error) {
    if (!signal.aborted) throw new CliError(`${(error as RealtimeError).code}: ${(error as Error).message}`)
  } finally {
    client.close()
  }
}
