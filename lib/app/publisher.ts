import { randomBytes } from 'node:crypto'
import type { Adapter } from '../adapters/adapter.js'
import { nameOf } from '../rooms/room-name.js'
import { publishOptions } from './call-options.js'
import type { Definition } from '../contract/types.js'
import { DEFAULTS } from '../options/defaults.js'
import { declare } from '../rooms/declaration.js'
import { Hub } from '../rooms/hub.js'
import { checkKept } from '../rooms/text-streams.js'
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
 * on the nodes.
 *
 * @throws REALTIME_ERR_ROOM or REALTIME_ERR_SCHEMA for definitions that the nodes would refuse too
 */
export async function createPublisher ({ adapter, rooms }: {
  adapter: Adapter
  // A list of different definitions has no other element type; no value is read through it.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  rooms: ReadonlyArray<Definition<string, any, any, any, any>>
}): Promise<Publisher> {
  const hub = new Hub(adapter, {
    presence: DEFAULTS.presence,
    presenceList: DEFAULTS.presenceList,
    eventLimit: DEFAULTS.event,
    validateOutput: true,
    onError: () => undefined,
    onUnhandled: () => undefined
  })
  for (const definition of rooms) {
    const declaration = declare(
      definition,
      {},
      {},
      { history: DEFAULTS.history, message: DEFAULTS.message },
      undefined,
      true
    )
    checkKept(declaration, adapter)
    hub.declarations.add(declaration)
  }
  await adapter.start({
    nodeId: randomBytes(6).toString('base64url'),
    log: SILENT,
    ...hub.host,
    control: () => undefined,
    state: () => undefined
  })
  const broadcast = async (
    room: unknown,
    event: string,
    data: unknown,
    options?: unknown
  ): ReturnType<Rooms['broadcastAll']> =>
    shape(await hub.publish(nameOf(room), event, data, publishOptions(options)))
  return {
    broadcast,
    remove: async (room, event, key) => shape(await hub.remove(nameOf(room), event, key)),
    broadcastAll: async (event, data) => await broadcast(ALL, event, data),
    sendToUser: async (userId, event, data) => await broadcast(roomOfUser(userId), event, data),
    close: async () => { await adapter.close() }
  }
}
