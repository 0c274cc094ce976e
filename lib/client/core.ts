import { createClient } from './client.js'
import { here } from './platform.js'
import type { CoreClient, CoreOptions } from './types.js'

/**
 * Connects as `connect` of `fastify-realtime/client` does, without the parts that not every page needs: those of
 * `fastify-realtime/client/parts` are given in `use`, and `iterate`, `snapshot` and `reload` are functions of modules
 * of their own. What the types refuse is not checked.
 *
 * @param url as there; it has no query
 * @throws TypeError for an invalid URL, such as one without a host where there is no page
 */
export function connect (url: string, options: CoreOptions = {}): CoreClient {
  return createClient(new URL(url, here.location?.href).href, options)
}

export type * from './types.js'
export type { RoomState } from '../contract/types.js'
export type { ListenOptions } from './listeners.js'
