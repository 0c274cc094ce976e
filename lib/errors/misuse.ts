import createError, { type FastifyErrorConstructor } from '@fastify/error'

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
