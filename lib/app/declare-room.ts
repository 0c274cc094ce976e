import type { FastifyInstance } from 'fastify'
import type { Adapter } from '../adapters/adapter.js'
import type { Readiness } from '../admission/readiness.js'
import { REALTIME_ERR_ROOM } from '../errors/misuse.js'
import { checkRoomOptions, type Settings } from '../options/resolve.js'
import { checkAbilities } from '../rooms/abilities.js'
import { declare, type RoomHooks, type RoomLimits } from '../rooms/declaration.js'
import type { Declarations } from '../rooms/declarations.js'
import { checkKept } from '../rooms/text-streams.js'

export interface RoomDeclarationOptions {
  readonly declarations: Declarations
  readonly adapter: Adapter
  readonly settings: Settings
  readonly readiness: Readiness
}

/** Binds the hooks of a room, the handlers of messages included, to the scope that declares it. */
function bind (hooks: object, scope: FastifyInstance): RoomHooks {
  const bound: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(hooks)) {
    const holdsHooks = (key === 'on' || key === 'presence') && typeof value === 'object' && value !== null
    if (typeof value === 'function') bound[key] = value.bind(scope)
    else bound[key] = holdsHooks ? bind(value as object, scope) : value
  }
  return bound
}

/** `app.room`: declares a family of rooms, bound to the scope in which it is called. */
export function decorateRoom (
  app: FastifyInstance,
  { declarations, adapter, settings, readiness }: RoomDeclarationOptions
): void {
  app.decorate('room', function (this: FastifyInstance, definition: unknown, given: object = {}) {
    if (readiness.isServing) {
      throw new REALTIME_ERR_ROOM(
        'app.room was called after the app is ready; declare all rooms before app.ready() or app.listen()'
      )
    }
    checkRoomOptions((definition as { name?: string } | null)?.name ?? '?', given)
    const { authorize, onJoin, onLeave, onOccupied, onVacated, presence, on, ...limits } =
      given as RoomHooks & RoomLimits
    const all = { authorize, onJoin, onLeave, onOccupied, onVacated, presence, on }
    const hooks = Object.entries(all).filter(([, hook]) => hook !== undefined)
    const defaults = { history: settings.history, message: settings.limits.message }
    const declaration = declare(definition, bind(Object.fromEntries(hooks), this), limits, defaults, this.log)
    checkKept(declaration, adapter)
    checkAbilities(declaration, adapter)
    declarations.add(declaration)
    return this
    // Fastify would have the decorator be of all its declared types at once.
  } as never)
}
