import { checkOptions, checkUrl, possibleTransports } from './check-options.js'
import { createClient } from './client.js'
import { iterate } from './iterate.js'
import type { Part } from './part.js'
import {
  answers, diagnosis, liveState, members, oldEngines, packageSocket, roomLimit, serverJoins, tickets, upward, wake
} from './parts/index.js'
import { shareLater } from './share-later.js'
import { reload, snapshot } from './snapshot.js'
import { growingTexts, partsOf } from './texts.js'
import type { Client, ClientRoom, ConnectOptions, Loaded, NamedMessages } from './types.js'

type Whole = ClientRoom<NamedMessages, Record<string, unknown>, unknown>

/** What rooms of the core do by functions of modules of their own, as methods. */
const methods: Part = (core) => {
  const { createHandle } = core
  core.createHandle = (...given) => {
    const handle = createHandle(...given)
    const room = handle.public
    Object.assign(room, {
      stream: (event: never, key: string) => partsOf(room, event, key),
      snapshot: <T extends Loaded>(load: () => Promise<T>) => snapshot(room, load),
      reload: () => reload(room),
      [Symbol.asyncIterator]: () => iterate(room)
    } satisfies Partial<Whole>)
    return handle
  }
}

const PARTS = [
  members, liveState, growingTexts, answers, serverJoins, packageSocket, tickets, wake, diagnosis, upward, oldEngines,
  roomLimit, methods
]

/**
 * Connects to the endpoint of fastify-realtime, and reconnects until `close()` is called or the server refuses the
 * client for good.
 *
 * @param url prefix of the endpoint: `/ws`, or an absolute URL with http(s) or ws(s), without a query. Where a page is
 *   rendered on a server, `/ws` does nothing: the client stays `connecting`. An absolute URL connects there too
 * @throws an error of code `REALTIME_ERR_OPTIONS` for an option that is unknown or wrong, and for what is no such URL
 */
export function connect (url: string | URL, options: ConnectOptions = {}): Client {
  checkOptions(options)
  const { share, ...rest } = options
  const shared = share === true ? shareLater : share
  // What is joined has all its parts now.
  return createClient(checkUrl(url), {
    ...rest,
    transports: possibleTransports(options),
    use: [...PARTS, ...shared ? [shared] : []]
  }) as Client
}
