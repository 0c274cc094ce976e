import { randomBytes } from 'node:crypto'
import type { Adapter } from '../adapters/adapter.js'
import { nameOf } from '../rooms/room-name.js'
import { publishOptions } from './call-options.js'
import type { Definition } from '../contract/types.js'
import { DEFAULTS } from '../options/defaults.js'
import { declare } from '../rooms/declaration.js'
import { resolveOptions } from '../options/resolve.js'
import { Hub } from '../rooms/hub.js'
import { KeptByNodes } from '../rooms/kept-by-nodes.js'
import { checkKept } from '../rooms/text-streams.js'
import type { RealtimeOptions } from '../types/options.js'
import type { Rooms } from '../types/rooms.js'
import { shape } from '../rooms/publications.js'
import { ALL, roomOfUser } from '../rooms/built-in.js'

/** What a process without connections can do. */
export type Publisher = Pick<Rooms, 'broadcast' | 'sendToUser' | 'broadcastAll' | 'remove'> & {
  /** Closes the adapter. */
  close (): Promise<void>
}

const SILENT = { info: () => undefined, warn: () => undefined }

/**
 * Broadcasts from a process that serves no connections: a worker, a cron job. The rooms must be the same definitions as
 * on the nodes. What a room keeps is the option `history` of the nodes, which they say to publishers.
 *
 * @throws REALTIME_ERR_ROOM or REALTIME_ERR_SCHEMA for definitions that the nodes would refuse too,
 *   REALTIME_ERR_OPTIONS for options that they would refuse
 */
export async function createPublisher ({ adapter, rooms, history, limits = {} }: {
  adapter: Adapter
  /** What rooms keep of which no node has said it: that of the plugin. @default { size: 100, ttl: 300_000 } */
  history?: RealtimeOptions['history']
  /** Bytes of the data of one event: `limits.event` of the nodes. @default { event: 262_144 } */
  limits?: { event?: number }
  // A list of different definitions has no other element type; no value is read through it.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  rooms: ReadonlyArray<Definition<string, any, any, any, any>>
}): Promise<Publisher> {
  const { history: byDefault, limits: { event: eventLimit } } =
    resolveOptions({ limits, ...(history === undefined ? {} : { history }) })
  const hub = new Hub(adapter, {
    presence: DEFAULTS.presence,
    presenceList: DEFAULTS.presenceList,
    eventLimit,
    validateOutput: true,
    onError: () => undefined,
    onUnhandled: () => undefined
  })
  const patterns = new Set<string>()
  const kept = adapter.presence === undefined ? undefined : new KeptByNodes(adapter.presence, patterns)
  for (const definition of rooms) {
    const declaration = declare(
      definition,
      {},
      {},
      { history: byDefault, message: DEFAULTS.message },
      undefined,
      true
    )
    checkKept(declaration, adapter)
    const { settings } = declaration
    patterns.add(settings.definition)
    hub.declarations.add({
      ...declaration,
      settings: { ...settings, get history () { return kept?.of(settings.definition) ?? settings.history } }
    })
  }
  await adapter.start({
    nodeId: randomBytes(6).toString('base64url'),
    log: SILENT,
    ...hub.host,
    control: () => undefined,
    state: () => undefined,
    missed: () => undefined
  })
  const broadcast = async (
    room: unknown,
    event: string,
    data: unknown,
    options?: unknown
  ): ReturnType<Rooms['broadcastAll']> => {
    await kept?.look()
    return shape(await hub.publish(nameOf(room), event, data, publishOptions(options)))
  }
  return {
    broadcast,
    remove: async (room, event, key) => {
      await kept?.look()
      return shape(await hub.remove(nameOf(room), event, key))
    },
    broadcastAll: async (event, data) => await broadcast(ALL, event, data),
    sendToUser: async (userId, event, data) => await broadcast(roomOfUser(userId), event, data),
    close: async () => { await adapter.close() }
  }
}
