/** What the parent asks of its nodes and of the load generator over IPC, and what they answer. */

export interface NodeConfig { readonly peer: string, readonly redis: string }

export interface NodeStarted {
  readonly port: number
  /** where a byte is written for each event of this node that has arrived */
  readonly arrivals: number
  /** packages and versions, as the report names them */
  readonly versions: readonly string[]
}

/** Which of the nodes this is, and how many rooms there are to publish into. */
export interface Place { readonly index: number, readonly rooms: number }
/** `window` events under way at a time: the next goes out when one has arrived. */
export interface Saturation extends Place { readonly window: number, readonly ms: number }
export interface Trickle extends Place { readonly perSecond: number, readonly ms: number }

export interface NodeApi {
  start (config: NodeConfig): Promise<NodeStarted>
  /** @returns events published */
  saturate (saturation: Saturation): Promise<number>
  /** @returns events published */
  trickle (trickle: Trickle): Promise<number>
  /** @returns microseconds of CPU since the process began */
  cpu (): Promise<number>
}

export interface CrowdRequest {
  readonly dialect: string
  readonly nodes: ReadonlyArray<{ readonly port: number, readonly arrivals: number }>
  readonly rooms: number
  /** members of each room, on as many nodes as there are */
  readonly members: number
}

export interface CrowdReport {
  readonly events: number
  /** microseconds from before the publish to the reader, sorted; on the publisher's node, and on others */
  readonly own: readonly number[]
  readonly other: readonly number[]
  /** share of a core that the load generator used since the last reset */
  readonly busy: number
}

export interface CrowdApi {
  connect (request: CrowdRequest): Promise<void>
  /** Resolves when nothing has arrived for `ms`. */
  quiet (ms: number): Promise<void>
  reset (): Promise<void>
  report (): Promise<CrowdReport>
}
