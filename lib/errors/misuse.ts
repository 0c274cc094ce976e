import createError, { type FastifyErrorConstructor } from '@fastify/error'
import type { Code } from '../protocol/codes.js'

type Misuse = FastifyErrorConstructor<{ code: string }, [string]>

/** Misuse by the developer. Each message names the fix; none of these is ever sent to a peer. */
export const REALTIME_ERR_OPTIONS: Misuse = createError('REALTIME_ERR_OPTIONS', '%s', 500)
export const REALTIME_ERR_PLUGIN: Misuse = createError('REALTIME_ERR_PLUGIN', '%s', 500)
export const REALTIME_ERR_ROOM: Misuse = createError('REALTIME_ERR_ROOM', '%s', 500)
export const REALTIME_ERR_SCHEMA: Misuse = createError('REALTIME_ERR_SCHEMA', '%s', 500)
export const REALTIME_ERR_NOT_READY: Misuse = createError('REALTIME_ERR_NOT_READY', '%s', 500)
export const REALTIME_ERR_ROOM_UNKNOWN: Misuse = createError('REALTIME_ERR_ROOM_UNKNOWN', '%s', 500)
export const REALTIME_ERR_EVENT: Misuse = createError('REALTIME_ERR_EVENT', '%s', 500)
export const REALTIME_ERR_STREAM: Misuse = createError('REALTIME_ERR_STREAM', '%s', 500)
export const REALTIME_ERR_PRESENCE_OFF: Misuse = createError('REALTIME_ERR_PRESENCE_OFF', '%s', 500)
export const REALTIME_ERR_TARGET: Misuse = createError('REALTIME_ERR_TARGET', '%s', 500)
export const REALTIME_ERR_ADAPTER: Misuse = createError('REALTIME_ERR_ADAPTER', '%s', 500)

/** What a program is told that has caused a misuse through the server API. */
export interface Blame {
  readonly word: Code
  readonly details?: ReadonlyArray<{ readonly path: string, readonly message: string }>
}

/** Where an error keeps it, out of sight of logs. */
const BLAME = Symbol('realtime.blame')

/** Returns the same error. It says from here on what is told of it, where that is not always the same for its code. */
export function blaming<E extends Error> (error: E, blame: Blame): E {
  return Object.assign(error, { [BLAME]: blame })
}

export function blameOf (error: Error): Blame | undefined {
  return (error as { [BLAME]?: Blame })[BLAME]
}
