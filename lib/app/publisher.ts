import { randomBytes } from 'node:crypto'
import type { Adapter, AdapterHost, Publication } from '../adapters/adapter.js'
import { nameOf } from '../rooms/room-name.js'
import { publishOptions } from './call-options.js'
import type { Definition } from '../contract/types.js'
import { callOptions } from '../options/call-values.js'
import { DEFAULTS } from '../options/defaults.js'
import { declare, type Declaration } from '../rooms/declaration.js'
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

/** Where nobody gives a log, warnings are those of the process, which it writes to its standard error. */
const WARNINGS: AdapterHost['log'] = {
  info: () => undefined,
  warn: (object, message) => {
    const { err } = object as { readonly err?: unknown }
    process.emitWarning(err === undefined ? message : `${message}: ${String(err)}`, 'RealtimeWarning')
  }
}

/**
 * Broadcasts from a process that serves no connections: a worker, a cron job. The rooms must be the same definitions as
 * on the nodes. What a room keeps is the option `history` of the nodes, which they say to publishers. A call that fails
 * and is not awaited is told to the log.
 *
 * @throws REALTIME_ERR_ROOM or REALTIME_ERR_SCHEMA for definitions that the nodes would refuse too,
 *   REALTIME_ERR_OPTIONS for options that they would refuse
 */
export async function createPublisher (options: {
  adapter: Adapter
  /** What rooms keep of which no node has said it: that of the plugin. @default { size: 100, ttl: 300_000 } */
  history?: RealtimeOptions['history']
  /** Bytes of the data of one event: `limits.event` of the nodes. @default { event: 262_144 } */
  limits?: { event?: number }
  /** Such as pino's. @default warnings of the process, and nothing else */
  log?: AdapterHost['log']
  // A list of different definitions has no other element type; no value is read through it.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  rooms: ReadonlyArray<Definition<string, any, any, any, any>>
}): Promise<Publisher> {
  callOptions(options as unknown ?? null, 'createPublisher', ['adapter', 'rooms', 'history', 'limits', 'log'])
  const { adapter, rooms, history, limits = {}, log = WARNINGS } = options
  const { history: byDefault, limits: { event: eventLimit } } =
    resolveOptions({ adapter, limits, ...(history === undefined ? {} : { history }) })
  const hub = new Hub(adapter, {
    presence: DEFAULTS.presence,
    presenceList: DEFAULTS.presenceList,
    eventLimit,
    validateOutput: true,
    onError: () => undefined,
    onUnhandled: (error, what, detail) => { log.warn({ err: error, ...detail }, what) }
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
    log,
    ...hub.host,
    control: () => undefined,
    state: () => undefined,
    missed: () => undefined
  })
  const told = (
    event: string,
    what: string,
    room: () => string,
    make: (declaration: Declaration) => Publication
  ): ReturnType<Rooms['broadcastAll']> => {
    const published = async (): ReturnType<Rooms['broadcastAll']> => {
      const name = room()
      const { declaration } = hub.locate(name)
      // Before anything is awaited: until then the caller may change its data, for the next event or for its own use.
      const publication = make(declaration)
      await kept?.look()
      return shape(await hub.send(name, declaration, publication))
    }
    return hub.told(published(), what, { event })
  }
  const broadcast = (
    room: () => string,
    event: string,
    data: unknown,
    options?: unknown
  ): ReturnType<Rooms['broadcastAll']> => told(event, 'a broadcast failed', room, (declaration) =>
    hub.publications.prepare(declaration, event, data, publishOptions(options)))
  return {
    broadcast: (room: unknown, event: string, data: unknown, options?: unknown) =>
      broadcast(() => nameOf(room), event, data, options),
    remove: (room, event, key) => told(event, 'remove failed', () => nameOf(room), (declaration) =>
      hub.removal(declaration, event, key)),
    broadcastAll: (event, data) => broadcast(() => ALL, event, data),
    sendToUser: (userId, event, data) => broadcast(() => roomOfUser(userId), event, data),
    close: async () => { await adapter.close() }
  }
}
