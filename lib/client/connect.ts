import { createClient } from './client.js'
import { iterate } from './iterate.js'
import { shareLater } from './share-later.js'
import { reload, snapshot } from './snapshot.js'
import { growingTexts, partsOf } from './texts.js'
import type { Client, ClientRoom, ConnectOptions, Loaded, NamedMessages } from './types.js'

type Whole = ClientRoom<NamedMessages, Record<string, unknown>, unknown>

/**
 * Connects to the endpoint of fastify-realtime, and reconnects until `close()` is called or the server refuses the
 * client for good.
 *
 * @param url prefix of the endpoint: `/ws`, or an absolute URL with http(s) or ws(s), without a query. Where a page is
 *   rendered on a server, a URL without a host does nothing: the client stays `connecting`
 * @throws an error of code `REALTIME_ERR_OPTIONS` for an option that is unknown or wrong, and for an invalid URL
 */
export function connect (url: string, options: ConnectOptions = {}): Client {
  const share = options.share === true ? shareLater : options.share
  return createClient(url, { texts: growingTexts, ...options, ...share && { share } }, {
    equip ({ public: room }) {
      Object.assign(room, {
        stream: (event: never, key: string) => partsOf(room, event, key),
        snapshot: <T extends Loaded>(load: () => Promise<T>) => snapshot(room, load),
        reload: () => reload(room),
        [Symbol.asyncIterator]: () => iterate(room)
      } satisfies Partial<Whole>)
    }
  // What is joined has all its parts now.
  }) as Client
}
