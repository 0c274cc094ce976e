import { createClient } from './client.js'
import type { ConnectOptions, CoreClient } from './types.js'

/**
 * Connects as `connect` of `fastify-realtime/client` does, without the parts that not every page needs. They are
 * functions of modules of their own: `iterate`, `snapshot` and `reload`, and the `growingTexts` that the options take.
 *
 * @throws an error of code `REALTIME_ERR_OPTIONS` for an option that is unknown or wrong, and for an invalid URL
 */
export function connect (url: string, options: ConnectOptions = {}): CoreClient { return createClient(url, options) }

export type * from './types.js'
export type { RoomState } from '../contract/types.js'
export type { ListenOptions } from './listeners.js'
