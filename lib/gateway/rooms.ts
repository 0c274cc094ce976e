import type { FastifyInstance } from 'fastify'
import { defineRoom } from '../index.js'
import type { RoomSettings } from './config/resolve.js'
import type { MessageConfig, RoomConfig } from './config/schema.js'
import type { Asking, RoomHooks } from './hooks/room-hooks.js'

/** What a handler is given, of whatever types. */
interface Context {
  readonly params: Record<string, string>
  readonly userId: string
  readonly user: Readonly<Record<string, unknown>>
  readonly room: { readonly name: string, broadcast (event: string, data: object): Promise<unknown> }
  readonly data: object
  readonly sender: string | undefined
  readonly messageId: string | undefined
}

type Entrant = Pick<Context, 'params' | 'userId' | 'user'>

/** Options of `app.room` that a config says as they are. */
const SAME = ['capacity', 'history', 'limits', 'flush', 'append'] as const

/**
 * Declares one room of a config.
 *
 * @throws an error of the plugin, for a pattern, schema or option that it does not take
 */
export function declareRoom (
  app: FastifyInstance, { pattern, config, hooks: settings }: RoomSettings, hooks: RoomHooks | undefined
): void {
  const { params, messages = {}, events = {}, member } = config
  const specs = Object.entries(messages).map(([name, { broadcast: _broadcast, ...spec }]) => [name, spec])
  const spec = {
    ...(params === undefined ? {} : { params }),
    ...(member === undefined ? {} : { member }),
    messages: Object.fromEntries(specs),
    events
  }
  // The types of a room are known to the compiler where it is written in TypeScript; here it is data.
  const definition = defineRoom(pattern, spec as never) as { at (params: object): { name: string } }
  const on = Object.fromEntries(
    Object.entries(messages).map(([name, message]) => [name, handlerOf(name, message, hooks)])
  )
  const isAsked = (hook: 'authorize' | 'join' | 'leave'): boolean => hooks !== undefined && settings!.on.has(hook)
  const options = {
    ...Object.fromEntries(SAME.flatMap((name) => config[name] === undefined ? [] : [[name, config[name]]])),
    ...presenceOf(config),
    ...(Object.keys(on).length === 0 ? {} : { on }),
    ...authorizeOf(config, isAsked('authorize') ? hooks : undefined, (given) => definition.at(given).name),
    ...(isAsked('join')
      ? {
          onJoin: (context: Context & { readonly connection: { readonly id: string }, readonly resumed: boolean }) => {
            hooks!.tell('join', { ...asking(context), connectionId: context.connection.id, resumed: context.resumed })
          }
        }
      : {}),
    ...(isAsked('leave')
      ? {
          onLeave: (context: Context & { readonly code: string }) => {
            hooks!.tell('leave', { ...asking(context), code: context.code })
          }
        }
      : {})
  }
  // As above.
  app.room(definition as never, options as never)
}

function asking ({ room, params, userId, user }: Context): Asking {
  return { room: room.name, params, userId, user }
}

function handlerOf (
  name: string, { broadcast, reply }: MessageConfig, hooks: RoomHooks | undefined
): (context: Context) => Promise<unknown> {
  if (broadcast === undefined) {
    return async (context) => {
      const { data, messageId, sender: connectionId } = context
      const answer = await hooks!.message({ ...asking(context), message: name, data, messageId, connectionId })
      return reply === undefined ? undefined : answer
    }
  }
  const { event, user } = typeof broadcast === 'string' ? { event: broadcast, user: undefined } : broadcast
  return async ({ data, userId, room }) => {
    await room.broadcast(event, user === undefined ? data : { ...data, [user]: userId })
  }
}

function presenceOf ({ presence }: RoomConfig): object {
  if (presence === undefined || presence === false) return {}
  if (presence === true) return { presence }
  const { claims, update } = presence
  const data = ({ user }: Entrant): object =>
    Object.fromEntries(claims.flatMap((claim) => user[claim] === undefined ? [] : [[claim, user[claim]]]))
  return { presence: { data, ...(update === undefined ? {} : { update }) } }
}

function authorizeOf (
  { authorize }: RoomConfig, hooks: RoomHooks | undefined, nameOf: (params: object) => string
): object {
  if (authorize !== undefined) {
    const { claim } = authorize
    return { authorize: ({ user, params }: Entrant) => allows(user[claim], nameOf(params)) }
  }
  if (hooks === undefined) return {}
  return {
    authorize: async ({ user, userId, params }: Entrant) => {
      return await hooks.authorize({ room: nameOf(params), params, userId, user })
    }
  }
}

/** Whether a list names a room, by itself or by its beginning and a `*`. */
function allows (list: unknown, room: string): boolean {
  return Array.isArray(list) && list.some((each) => typeof each === 'string' &&
    (each === room || (each.endsWith('*') && room.startsWith(each.slice(0, -1)))))
}
