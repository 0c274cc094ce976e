import type { ResolvedRoom } from './declaration.js'
import type { JoinRequest } from './hub.js'

/** One room that a connection enters: found and allowed. */
export interface RequestedRoom { readonly name: string, readonly found: ResolvedRoom, readonly request: JoinRequest }
