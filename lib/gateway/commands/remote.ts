import { CliError } from './cli-error.js'

/** What a command says of the server that it talks to. */
export interface Remote {
  readonly url?: string | undefined
  readonly token?: string | undefined
  readonly key?: string | undefined
}

type Env = Readonly<Record<string, string | undefined>>

const DEFAULT = 'http://127.0.0.1:3000/ws'

/** The URL of the endpoint, with http or https. */
export function endpointOf ({ url }: Remote, env: Env): string {
  const given = (url ?? env.REALTIME_URL ?? DEFAULT).replace(/^ws(?=s?:)/, 'http').replace(/\/+$/, '')
  if (!URL.canParse(given) || !/^https?:$/.test(new URL(given).protocol)) {
    throw new CliError(`--url is the URL of the endpoint, such as ${DEFAULT}`)
  }
  const { username, password, search } = new URL(given)
  if (username !== '' || password !== '' || search !== '') {
    throw new CliError('--url holds a password or a query: give the credential as --token or --key')
  }
  return given
}

export function tokenOf ({ token }: Remote, env: Env): string | undefined { return token ?? env.REALTIME_TOKEN }
export function keyOf ({ key }: Remote, env: Env): string | undefined { return key ?? env.REALTIME_KEY }

export function checkRoom (room: string | undefined): string {
  if (room === undefined || room === '') throw new CliError('name the room, such as chat/42')
  if (room.startsWith('/') || /[\s?#]/.test(room)) throw new CliError(`${JSON.stringify(room)} is no room: its name is one such as chat/42, each param encoded`)
  return room
}
