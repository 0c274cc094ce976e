/** Where a client is in the stream of its room, as its server names it. */
export interface Place {
  /** the epoch of the room, or the session of the client */
  readonly session: string
  /** the last event that it has; absent: none */
  readonly last: string | undefined
}
