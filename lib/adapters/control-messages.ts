import type { Code } from '../protocol/codes.js'

/**
 * What nodes tell each other apart from events. Fire and forget: nobody waits for all nodes. `revoke`, `expel`,
 * `close`, `join`, `leave`, `cancel`, `moved` and `owed` must not be lost on a node whose subscription was cut for a
 * moment: they are kept for a minute at least, however many there are, and read again within two seconds, each passed
 * on once. None is passed on that was sent before this node came. A node that was away for longer says so by
 * `host.missed`.
 */
export interface Control {
  /** To all other nodes. Resolves when the broker took it; rejects with `unavailable` when it is away. */
  send (message: ControlMessage): Promise<void>
}

/** A message between nodes. A node that does not know a `type` leaves it alone: it may be of a newer version. */
export type ControlMessage =
  | {
    /** What the target holds is closed, and it is kept out. */
    readonly type: 'revoke'
    /** The user. */
    readonly user?: string
    /** The token's id, `jti`. */
    readonly tokenId?: string
    /** The connection. */
    readonly connection?: string
    /** The room whose members are meant. */
    readonly of?: string
    /** What its client is told. */
    readonly message?: string
    /** Unix time in milliseconds up to which it keeps out. */
    readonly until?: number
    /** Nobody has said until when: a node with connections of the token keeps it out up to its end. */
    readonly isUntilEnd?: true
    /** Names it where it may be told again, so that who has heard it does nothing again. */
    readonly id?: string
  }
  | {
    /** One room is taken from a user, who is kept out of it. */
    readonly type: 'expel'
    /** The user. */
    readonly user: string
    /** The room. */
    readonly room: string
    /** What the user's clients are told. */
    readonly message?: string
    /** Unix time in milliseconds up to which it keeps out. */
    readonly until: number
    /** Which revocation of the room it is: those before it have a lower one. */
    readonly version?: number
    /** Names it where it may be told again, so that who has heard it does nothing again. */
    readonly id?: string
  }
  | {
    /** What the target holds is closed, and may come back. */
    readonly type: 'close'
    /** The user. */
    readonly user?: string
    /** The connection. */
    readonly connection?: string
    /** The room whose members are meant. */
    readonly of?: string
    /** Why, which says too when its client may come back. */
    readonly code: Code
    /** What its client is told. */
    readonly message?: string
  }
  | {
    /** The server puts the target into a room, or takes it out. */
    readonly type: 'join' | 'leave'
    /** The user. */
    readonly user?: string
    /** The connection. */
    readonly connection?: string
    /** The room whose members are meant. */
    readonly of?: string
    /** The room. */
    readonly room: string
  }
  | {
    /** The stream of a text is ended by somebody else than its writer. */
    readonly type: 'cancel'
    /** The room. */
    readonly room: string
    /** The event. */
    readonly event: string
    /** The key of the text. */
    readonly key: string
  }
  | {
    /** The members on the sending node to whom an acknowledged broadcast was offered. */
    readonly type: 'members'
    /** The id of the broadcast. */
    readonly ack: string
    /** The members. */
    readonly members: ReadonlyArray<{
      /** The member's connection. */
      readonly connection: string
      /** The member's user. */
      readonly userId: string
    }>
    /** Another part follows. */
    readonly more?: boolean
  }
  | {
    /** A member has acknowledged a broadcast. */
    readonly type: 'acked'
    /** The id of the broadcast. */
    readonly ack: string
    /** The member's connection. */
    readonly connection: string
    /** Whose connection it must be, where the sending node cannot know. */
    readonly user?: string
    /** The answer, where more than an ack was asked for. */
    readonly data?: unknown
    /** Why there is no answer. */
    readonly error?: {
      /** A word of the client's own. */
      readonly code: string
      /** For people. */
      readonly message: string
    }
  }
  | {
    /**
     * Clients are asked by an event; who is asked is reported by `members`, and answers come as `acked`. A node that a
     * connection has left sends again what its polls have not taken along.
     */
    readonly type: 'request'
    /** The id of the question. */
    readonly ack: string
    /** All connections of this user. */
    readonly user?: string
    /** This connection. */
    readonly connection?: string
    /** The room of the event; absent for the room of the connection's own user. */
    readonly room?: string
    /** The name of the event. */
    readonly event: string
    /** The data as JSON text. */
    readonly data: string
    /** When it was asked, in Unix milliseconds, for readers only. */
    readonly timestamp: number
  }
  | {
    /** A member has gone before it acknowledged a broadcast. */
    readonly type: 'gone'
    /** The id of the broadcast. */
    readonly ack: string
    /** The member's connection. */
    readonly connection: string
  }
  | {
    /** A client has posted something to the sending node that cannot be read and may have been its answer. */
    readonly type: 'garbled'
    /** Its user. */
    readonly user: string
    /** Its connection. */
    readonly connection: string
    /** What is wrong with it. */
    readonly message: string
    /** The id of the question; absent where it could not be read, for all that wait for the connection. */
    readonly ack?: string
  }
  | {
    /** A connection polls on the sending node now, which holds its slots and presence under the same names. */
    readonly type: 'moved'
    /** Its user. */
    readonly user: string
    /** The connection. */
    readonly connection: string
  }
  | {
    /** What peers that poll are to be told by their next polls, which may come to any node. */
    readonly type: 'owed'
    /** Each once. */
    readonly told: ReadonlyArray<{
      /** The user of the connection. */
      readonly user: string
      /** The connection. */
      readonly connection: string
      /** The room that it is out of; absent where the connection was ended for good. */
      readonly room?: string
      /** Why; absent where the peer itself has left the room. */
      readonly code?: string
      /** What the peer is told. */
      readonly message?: string
      /** The server has put the connection into the room again. */
      readonly isOver?: true
    }>
  }
  | {
    /**
     * A client has come back to the sending node: its former connections are no longer shown in the room, though a node
     * may not have heard yet that one has ended.
     */
    readonly type: 'resumed'
    /** Its user. */
    readonly user: string
    /** The room. */
    readonly room: string
    /** The former connections, at least one. */
    readonly former: readonly string[]
  }
  | {
    /** The node on which a connection lives is asked to do something with it; its `answer` has the same id. */
    readonly type: 'ask'
    /** The id of the question. */
    readonly id: string
    /** Whose connection it must be. */
    readonly user: string
    /** The connection. */
    readonly connection: string
    /** Let it leave a room, end it, renew its credential, or end it because it is replaced by a newer one. */
    readonly what: 'leave' | 'end' | 'auth' | 'replace'
    /** The node that answers whether the connection is there or not, where that is known. */
    readonly node?: string
    /** The room to leave. */
    readonly room?: string
    /** The ticket to renew by. */
    readonly ticket?: string
  }
  | {
    /** What came of a question. */
    readonly type: 'answer'
    /** The id of the question. */
    readonly id: string
    /** Whether it was done. */
    readonly isDone: boolean
    /** Why not, where there is more to say. */
    readonly code?: Code
    /** When the renewed credential ends, in Unix milliseconds. */
    readonly expires?: number
  }
  | {
    /**
     * A handler on the sending node waits for a message of a connection of another node, which is asked to tell by
     * `departed` when the connection ends, or is taken out of the room.
     */
    readonly type: 'follow'
    /** Whose connection it must be. */
    readonly user: string
    /** The connection. */
    readonly connection: string
    /** The room in which the handler runs. */
    readonly room: string
  }
  | {
    /** A connection that others follow has ended, or was taken out of the room. */
    readonly type: 'departed'
    /** The connection. */
    readonly connection: string
    /** The room in which it was followed. */
    readonly room: string
    /** Why. */
    readonly code: Code
    /** What its client is told. */
    readonly message?: string
    /** Milliseconds since then, where it was asked for too late to be told at once: later handlers are not meant. */
    readonly ago?: number
  }
  | {
    /** A connection has answered a ping of the application. */
    readonly type: 'pong'
    /** Its user. */
    readonly user: string
    /** The connection. */
    readonly connection: string
    /** The id of the ping. */
    readonly id: string
  }
  | {
    /** The sending node is there, so that others know whose answers they have to wait for. */
    readonly type: 'node'
    /** `new`: it has just come, and asks the others to say that they are there; `leaving`: it is there no longer. */
    readonly state: 'new' | 'here' | 'leaving'
  }
  | {
    /** All nodes are asked for a page of their connections; each answers by `listed` with the same id. */
    readonly type: 'list'
    /** The id of the question. */
    readonly id: string
    /** The page begins behind this connection, in the order of nodes and of their numbers. */
    readonly after?: {
      /** The node's id. */
      readonly node: string
      /** The connection's number there. */
      readonly number: number
    }
    /** Only those of this user. */
    readonly user?: string
    /** Only those in this room. */
    readonly room?: string
    /** Connections at most. */
    readonly limit: number
    /** Bytes of the answer at most, about. */
    readonly bytes: number
  }
  | {
    /** Connections of the sending node. */
    readonly type: 'listed'
    /** The id of the question. */
    readonly id: string
    /** Connections there that fit the question, on whatever page. */
    readonly total: number
    /** The page, in the order of the numbers. */
    readonly connections: readonly ListedConnection[]
    /** Others follow behind the last one. */
    readonly more?: boolean
  }
  | {
    /** All nodes are asked for the oldest connections of a user, who is to lose one; each answers by `older`. */
    readonly type: 'oldest'
    /** The id of the question. */
    readonly id: string
    /** The user. */
    readonly user: string
    /** The rooms whose places the newer connection needs. */
    readonly rooms: readonly string[]
  }
  | {
    /** The oldest connections of a user on the sending node. */
    readonly type: 'older'
    /** The id of the question. */
    readonly id: string
    /** A few of them, the oldest first. */
    readonly connections: readonly OlderConnection[]
  }
  | {
    /** All nodes are asked what they hold, for an admin; each answers by `shown` with the same id. */
    readonly type: 'look'
    /** The id of the question. */
    readonly id: string
    /** The one node that it is about, where it is about one: the others have nothing to say. */
    readonly node?: string
    /** What is asked: JSON that the nodes of one version understand. */
    readonly question: unknown
  }
  | {
    /** What a node answers to an admin's question. */
    readonly type: 'shown'
    /** The id of the question. */
    readonly id: string
    /** The answer, an empty object from who has nothing to say: JSON of at most some hundred kilobytes. */
    readonly answer: unknown
  }

/** A connection that may give way to a newer one of its user. */
export interface OlderConnection {
  /** Its id. */
  readonly id: string
  /** When it was opened, in Unix milliseconds by its node's clock. */
  readonly since: number
  /** Those of the rooms asked for in which it is. */
  readonly rooms: readonly string[]
}

/** An open connection, as the node on which it lives sees it. */
export interface ListedConnection {
  /** Its place in the order in which the connections of the node were opened. */
  readonly number: number
  /** The connection's id, a secret of its own client: it is for targets, and to be shown to nobody else. */
  readonly id: string
  /** The id of its user. */
  readonly user: string
  /** How it is connected. A connection that polls is listed between two polls too. */
  readonly transport: 'websocket' | 'sse' | 'polling'
  /** The address that it came from. */
  readonly address: string
  /** When it was opened, in Unix milliseconds by the clock of its node. */
  readonly since: number
  /** Milliseconds of the last heartbeat's round trip. Absent before the first one, and where there are none. */
  readonly latency?: number
  /** Bytes that wait to be written to it. */
  readonly lag: number
  /** Bytes that it has sent. */
  readonly bytesIn: number
  /** Bytes that were written to it. */
  readonly bytesOut: number
  /** Names of rooms that it is in, the built-in ones among them: at most 128. */
  readonly rooms: readonly string[]
  /** Number of all rooms that it is in. */
  readonly roomCount: number
}
