import { createClient } from './client.js'
import { failure, refused } from './errors.js'
import { here } from './platform.js'
import type { CoreClient, CoreOptions } from './types.js'

/**
 * Connects as `connect` of `fastify-realtime/client` does, without the parts that not every page needs: those of
 * `fastify-realtime/client/parts` are given in `use`, and `iterate`, `snapshot` and `reload` are functions of modules
 * of their own. What the types refuse is not checked.
 *
 * @param url as there. Where a page is rendered on a server, a path such as `/ws` does nothing: the client stays
 *   `connecting`
 * @throws an error of code `REALTIME_ERR_OPTIONS` for a URL with a query or a fragment; TypeError for an invalid one
 */
export function connect (url: string | URL, options: CoreOptions = {}): CoreClient {
  // No object of the class URL begins like that.
  const path = url as string
  const href = !here.location && /^\//.test(path) ? path : new URL(url, here.location?.href).href
  if (/[?#]/.test(href)) throw failure(refused('REALTIME_ERR_OPTIONS', 'no endpoint here'))
  return createClient(href, options)
}

export type * from './types.js'
export type { RoomState } from '../contract/types.js'
export type { ListenOptions } from './listeners.js'
