import { eventData, type EventData } from '../shared/payload.js'

/** An event that says which node published it. */
export interface NodeEvent extends EventData { readonly by: string }

/**
 * One node under test, with its adapter. Rooms are joined by URL, every connection shows a JWT in its Authorization
 * header.
 */
export interface NodePeer {
  readonly port: number
  readonly packages: readonly string[]
  /** One event to the members of a room on all nodes. @throws when it is refused, where the peer can tell */
  broadcast (room: string, event: NodeEvent): Promise<void> | void
}

export interface NodePeerModule { start (redis: string): Promise<NodePeer> }

const BY = '"by":"'

export function nodeEvent (index: number): NodeEvent { return { ...eventData(false), by: String(index) } }

/** The node that published the event in this frame. */
export function publisherOf (payload: Buffer): number {
  const at = payload.indexOf(BY, 0, 'latin1') + BY.length
  return Number(payload.toString('latin1', at, payload.indexOf('"', at, 'latin1')))
}
