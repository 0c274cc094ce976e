import type { Delivery } from '../contract/types.js'
import type { Except } from '../protocol/except.js'
import type { Packet } from '../protocol/packet.js'
import type { Code } from '../protocol/codes.js'
import type { Part } from '../protocol/part.js'
import type { Position } from '../protocol/position.js'
import type { Awaitable } from '../structures/awaitable.js'

export type { Awaitable } from '../structures/awaitable.js'

/** How a room's stream is kept; the same on every node. */
export interface RoomSettings {
  /** What is kept for resumes; `false`: events have no offset and no position, and come at most once. */
  readonly history: {
    /** Events that are kept. */
    readonly size: number
    /** Milliseconds for which each is kept. */
    readonly ttl: number
  } | false
  /** Whether a `latest` event is declared, so that values have to be kept. */
  readonly latest: boolean
  /** How the texts of `append` events are kept; absent where none is declared. */
  readonly append?: {
    /** Bytes of one text; the writer holds it. */
    readonly size: number
    /** Milliseconds for which a text is kept after its end. */
    readonly ttl: number
  } | undefined
  /** Whether one of them is kept for as long as its user is there: then all values of the room are kept for a day. */
  readonly owned?: boolean
  /** The name pattern of the definition: `chat/:id`. */
  readonly definition: string
}

/** What a node asks to be published. */
export interface Publication {
  /** The name of the event. */
  readonly type: string
  /** The data as JSON text, which the publisher has serialised once. */
  readonly data: string
  /** What is promised for the event. */
  readonly delivery: Delivery
  /** The value of the key property, of a `latest` event. */
  readonly key?: string | undefined
  /** The user with whose presence in the room the value ends: it is kept and given with the value. */
  readonly user?: string | undefined
  /**
   * It takes the value of its key away, if `version` is absent or that of the value. Who reads the values later finds
   * this in its place, for as long as a value is kept, but it gives way to values where there are too many.
   */
  readonly removes?: {
    /** The value's version. @default whatever value the key has */
    readonly version?: number | undefined
  } | undefined
  /** When it was published, in Unix milliseconds by the publisher's clock: for readers, nothing is decided by it. */
  readonly timestamp: number
  /** Whom the event leaves out. It travels with the event, for every node and for later readers. */
  readonly except?: Except | undefined
  /** The id of an acknowledged broadcast: it is live only, has no offset and is never replayed. */
  readonly ack?: string | undefined
  /** Under which a second publication within the window adds no event, whatever its kind, on all nodes. */
  readonly idempotencyKey?: string | undefined
  /**
   * Of a publication whose `idempotencyKey` is made from the message whose handler makes it: the key under which that
   * is claimed, and the publication's number among those of the message. An adapter that keeps claims beside the keys
   * may remember both together.
   */
  readonly message?: {
    /** The key of the claim. */
    readonly claim: string
    /** 1 for the first publication. */
    readonly n: number
  } | undefined
  /** The user whose message makes it, whose remembered bytes the key counts to. @default it counts to the room */
  readonly owner?: string | undefined
  /**
   * W3C trace context of what publishes it, where that is traced. It travels beside the event, to the head of its
   * packet on each node; without it traces end at the broker.
   */
  readonly traceparent?: string | undefined
}

/** What came of a publication. */
export interface Published {
  /** Its place in the stream; absent without history, and for `volatile`, `latest` and acknowledged events. */
  readonly position?: Position | undefined
  /** Members on this node that were offered the event. */
  readonly recipients: number
  /**
   * Of an acknowledged broadcast: other nodes that the broker handed it to, each of which gives it to `host.event`;
   * absent where the broker does not tell.
   */
  readonly nodes?: number
}

/** What is asked of a room's history. */
export interface HistoryQuery {
  /** Asks for the events after this position. */
  readonly since?: Position | undefined
  /** Asks for the newest n, the oldest of them first, where `since` is absent. */
  readonly last?: number | undefined
  /** Events in one answer at most. */
  readonly limit: number
  /**
   * Bytes of data after which a page ends, at least one event in it: of those that were asked for the oldest, also of
   * the newest n. A reader goes on behind the last of them. Not more than about so much is read at a time; absent: all
   * at once.
   */
  readonly bytes?: number | undefined
}

/** One answer of a room's history. */
export interface HistoryPage {
  /**
   * `since` was honoured: every retained-class event after it is still there. Its epoch is the stream's, or a former
   * one, under one rule for all adapters: the stream holds all events up to it, and none that was ever accepted behind
   * it is lost. What a broker lost at the end of its data, the data cannot tell: it is compared with the highest
   * position that any node has seen, before a former epoch is honoured. A node that follows the room may honour what
   * its members have heard until it knows better; they, and whoever was resumed by that, are told by `host.gap` then.
   */
  readonly resumed: boolean
  /** The events, the oldest first; none when `since` was asked and not honoured. */
  readonly events: readonly Packet[]
  /**
   * The page was ended by the bytes that were asked for, or, where they were given, because the broker is slow: behind
   * its last event there is more of what was asked for.
   */
  readonly isPart?: boolean | undefined
  /** The newest position of the stream. */
  readonly top: Position
  /**
   * Where a reader of `since` goes on that is not resumed: before the oldest retained event that it cannot have seen.
   * At the top where nothing is known of its epoch. Without `since`: before the oldest retained event.
   */
  readonly floor: Position
}

/** A user in a room, as others see the user. */
export interface PresentUser {
  /** The user's id. */
  readonly userId: string
  /** What the room's `presence` option shows of the user; absent where it shows nothing. */
  readonly data?: unknown
}

/** Who came and went, in one step. */
export interface PresenceChange {
  /** One more than that of the change before it in the room; a reader that misses one asks for a snapshot. */
  readonly sequence: number
  /** Users who were not there before. */
  readonly joined: readonly PresentUser[]
  /** Users of whom no entry is left. */
  readonly left: readonly PresentUser[]
  /** Users who are there and are shown otherwise from now on; absent where there is none. */
  readonly changed?: readonly PresentUser[]
}

/** Who is in a room. */
export interface PresenceSnapshot {
  /** That of the last change that the snapshot includes. */
  readonly sequence: number
  /** Users in the room. */
  readonly total: number
  /** The users; absent above the `limit` that was asked. */
  readonly list?: readonly PresentUser[]
}

/** How a user is shown since `update`. */
export interface ShownUser extends PresentUser {
  /** Sequence of the change by which the user is shown so. */
  readonly changed: number
}

/** One connection of a user in a room. */
export interface PresenceEntry extends PresentUser {
  /**
   * Sequence of the change from which its data is; absent: it is what the entry joined with. Of two entries of a user
   * the higher one has the newer data, whichever is renewed first.
   */
  readonly changed?: number | undefined
  /** The connection's id. */
  readonly connection: string
  /**
   * Fencing token: higher each time that this node joins. A `leave` that comes late, or is overtaken on its way, ends
   * no entry that this node has joined under the same names with a higher one. Absent: whichever entry of this node.
   */
  readonly fence?: number | undefined
}

/**
 * Who is in a room, by user. The store decides joins and leaves in one atomic step, so that exactly one node announces
 * each.
 */
export interface PresenceStore {
  /**
   * Adds or renews an entry, which ends `lease` ms after the node that holds it has gone. When it is the first of its
   * user, the change is announced to all nodes that subscribed the room, this one included, with the next sequence.
   *
   * @returns how the user is shown, where that was changed by `update` and is not what the entry says: the node keeps
   *   it with the entry, for the time when the store has lost it. A store that loses nothing need not say it.
   */
  join (room: string, entry: PresenceEntry, lease: number): Awaitable<ShownUser | undefined | void>
  /**
   * Lets the entry of this node run out `grace` ms from now, not one that another node has joined under the same names
   * since, nor this node with a higher `fence`; its user's leave is announced by a sweep after the last entry has run
   * out.
   */
  leave (room: string, entry: PresenceEntry, grace: number): Awaitable<void>
  /**
   * A client has come back by a new connection, which has joined, and has named those that it had before: ends their
   * entries of this user at once, whichever node holds them, dead or alive. Absent: each ends with its grace or lease.
   *
   * @returns whether another node holds one of them, as far as the store knows, and has to be told
   */
  succeed? (room: string, userId: string, former: readonly string[]): Awaitable<boolean>
  /**
   * Milliseconds between two renewals of entries that are joined with this lease; absent: a third of it. An adapter
   * that keeps entries for as long as it hears of their node needs them rarely, to repair what was lost.
   */
  renewal? (lease: number): number
  /**
   * Prolongs the leases of connections that live on this node, or makes them anew where they are lost. An entry that
   * another node has joined since under the same names is that node's: this one may not have heard that it moved. Data
   * with a higher `changed` than what is shown of the user is shown from then on, which is announced as by `update`.
   */
  renew? (
    entries: ReadonlyArray<{ readonly room: string, readonly entry: PresenceEntry }>,
    lease: number
  ): Awaitable<void>
  /**
   * Shows a user who is there with other data from now on, whatever the entries of the user say. Where that makes a
   * difference, it is announced with the next sequence. Absent: what is shown of a user stays.
   *
   * @returns whether the user is there
   */
  update? (room: string, user: PresentUser): Awaitable<boolean>
  /**
   * Whether a user is there, who was not announced as left. Absent: no value can end with the presence of its user.
   */
  isPresent? (room: string, userId: string): Awaitable<boolean>
  /** Says who is there: all users up to `limit` of them, else how many. */
  snapshot (room: string, limit: number): Awaitable<PresenceSnapshot>
  /**
   * Removes entries whose time is past and announces the leaves. Called every few seconds for rooms with members here.
   */
  sweep (rooms: Iterable<string>): Awaitable<void>
}

/**
 * Bounded slots held across nodes, for limits per user and per room. Absent where one node sees everything. A slot is
 * its holder's until it is released, or until `ttl` ms after the node that took or renewed it last has gone: never
 * sooner while the broker can be reached.
 */
export interface LeaseStore {
  /**
   * Milliseconds between two renewals of slots that are taken for `ttl`; absent: a third of it. See
   * `PresenceStore.renewal`.
   */
  renewal? (ttl: number): number
  /**
   * Takes one of `limit` slots of `key` for `holder`; a holder that has one renews it, and this node is its node from
   * now on. What it rejects with `unavailable` the node may decide alone: so a broker that is there is asked again, and
   * one whose connection broke is waited for as long as it may be a blink (2 s), once for each outage.
   *
   * @param fence fencing token: higher each time that this node takes a slot, so that a release names which of them it
   *   frees
   */
  acquire (key: string, holder: string, limit: number, ttl: number, fence?: number): Promise<boolean>
  /** Renews; a lease found missing is taken again unconditionally, one that another node has acquired since is its. */
  renew (
    leases: ReadonlyArray<{ readonly key: string, readonly holder: string, readonly fence?: number | undefined }>,
    ttl: number
  ): Promise<void>
  /**
   * Frees a slot of this node, not one that another node has taken under the same names since, nor this node with a
   * higher fence: a release may come late, or be overtaken on its way.
   *
   * @param fence that of the slot that is freed. @default whichever this node has
   */
  release (key: string, holder: string, fence?: number): Promise<void>
  /** Slots of `key` that are taken, on all nodes. */
  count (key: string): Promise<number>
}

/** What became of a claim: run the message and settle it, answer by its outcome, wait, or refuse the id. */
export type Claim =
  | {
    /** Nobody has run this message: whoever claimed it runs and settles it. */
    readonly state: 'claimed'
  }
  | {
    /** The message has run. */
    readonly state: 'settled'
    /** What was settled. */
    readonly outcome: string
  }
  | {
    /** Another holder is running the message. */
    readonly state: 'running'
    /** Milliseconds until its lease ends. */
    readonly retryAfter: number
  }
  | {
    /** The id was used for other content. */
    readonly state: 'conflict'
  }

/** Message ids that take effect once, and one-use values such as tickets. */
export interface ClaimStore {
  /**
   * Whether nothing of it leaves this process: then it may be given short contents as they are, in place of a hash.
   * @default false
   */
  readonly isLocal?: boolean
  /**
   * Claims a message for `lease` ms, in one atomic step.
   *
   * @param hash tells whether the same id stands for the same content
   * @param owner user whose message it is: over the user's own bytes the user's oldest outcome goes, nobody else's
   * @param holder who asks: a name of its own for each claim, so that a release that comes late gives back no later
   *   claim of the same node. One that asks for what it has claimed and not settled has lost the answer, and is given
   *   it again; without, it is `running`.
   */
  claim (key: string, hash: string, lease: number, owner?: string, holder?: string): Awaitable<Claim>
  /**
   * Stores the outcome for `ttl` ms; `undefined` gives the claim back, so that the message may run again, unless it is
   * another holder's by now.
   */
  settle (
    key: string,
    hash: string,
    outcome: string | undefined,
    ttl: number,
    owner?: string,
    holder?: string
  ): Awaitable<void>
  /** Keeps a value for one `take` within `ttl` ms. */
  put (key: string, value: string, ttl: number): Awaitable<void>
  /** Returns the value exactly once. */
  take (key: string): Awaitable<string | undefined>
}

/**
 * What nodes tell each other apart from events. Fire and forget: nobody waits for all nodes. `revoke`, `expel`,
 * `close`, `join`, `leave`, `cancel` and `moved` must not be lost on a node whose subscription was cut for a moment:
 * they are kept for a minute at least, however many there are, and read again within two seconds, each passed on once.
 * None is passed on that was sent before this node came. A node that was away for longer says so by `host.missed`.
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
    /** Clients are asked by an event; who is asked is reported by `members`, and answers come as `acked`. */
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
    /** Let it leave a room, end it, or renew its credential. */
    readonly what: 'leave' | 'end' | 'auth'
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

/** A text of an `append` event as an adapter keeps it. */
export interface KeptText {
  /** The name of the event. */
  readonly type: string
  /** The value of the key property. */
  readonly key: string
  /** When it was changed last, in Unix milliseconds by the writer's clock, for readers only. */
  readonly timestamp: number
  /** The whole text: `from` is 0. */
  readonly part: Part
  /** Milliseconds since its end, by the clock of its keeper; absent while it grows. */
  readonly age?: number | undefined
}

/** One step of a writer. */
export interface TextWrite {
  /** The name of the event. */
  readonly type: string
  /** The value of the key property. */
  readonly key: string
  /** When it was made, in Unix milliseconds by the writer's clock. */
  readonly timestamp: number
  /** Names the writer: two writers of one key are told apart by it. */
  readonly writer: string
  /**
   * Number of this step of the writer: 0 takes the key and begins the text. A step that is asked for again under its
   * number takes effect once.
   */
  readonly number: number
  /** Milliseconds after which the writer counts as gone, unless it takes another step. */
  readonly lease: number
  /**
   * What is appended, and maybe the end. From 0 above step 0 it is the whole text, which takes the place of whatever is
   * kept. Without a text and an end the step only renews the lease.
   */
  readonly part: Omit<Part, 'version' | 'begun'>
}

/** A text as a node knows it. */
export type KnownHere = Pick<KeptText, 'type' | 'key'> & Pick<Part, 'version' | 'begun' | 'to'>

/**
 * What came of a step: `written`; of step 0 that another writer has the key (`busy`), that the text has `ended` or that
 * the room is `full` of texts that grow; of another step that the writer no longer has the key (`lost`), or that what
 * is kept is not what it wrote before, so that it writes the whole (`behind`).
 */
export type TextWritten = 'written' | 'busy' | 'ended' | 'full' | 'lost' | 'behind'

/**
 * Texts that grow, each by one writer at a time. Every step that begins or changes a text is given to `host.event` of
 * all subscribed nodes as a packet of `encodePart`, in the order of its versions; versions of a room only increase.
 */
export interface TextStore {
  /**
   * Takes one step, in one atomic step of the broker. Step 0 takes a key that is free: one that is not kept, was lost,
   * or whose writer's lease is over. Of at most 1 000 texts of a room the one that ended first gives way.
   */
  write (room: string, step: TextWrite, settings: RoomSettings): Awaitable<TextWritten>
  /** The texts of a room that are kept, or one of them, in the order of their last changes. */
  read (
    room: string,
    settings: RoomSettings,
    which?: Pick<KeptText, 'type' | 'key'>
  ): Awaitable<readonly KeptText[]>
  /**
   * Compares texts that this node knows with what is kept. Those whose writer's lease is over end as `lost`, which all
   * nodes are given.
   *
   * @returns those that are kept otherwise than they are known here; a lease that was renewed is no change
   */
  check (
    room: string,
    known: readonly KnownHere[],
    settings: RoomSettings
  ): Awaitable<readonly KeptText[]>
}

/** Users and token ids kept out until a time. Consulted at every entry. */
export interface DenialStore {
  /** Keeps a subject out, for as long as the longest denial of it says. @param until Unix time in milliseconds */
  deny (subject: string, until: number): Awaitable<void>
  /** Asks again like `LeaseStore.acquire`, before it rejects with `unavailable`: the node goes by what it knows. */
  isDenied (subjects: readonly string[]): Awaitable<boolean>
}

/** What an adapter tells the node that started it. */
export interface AdapterHost {
  /** Tells this node from all others, and from itself before a restart. */
  readonly nodeId: string
  /** Bounds of the outcomes that may be remembered. */
  readonly remembered?: {
    /** Bytes of all users of this node together. @default 64 MiB */
    readonly bytes: number
    /** Bytes of one user. @default 4 MiB */
    readonly perUser: number
    /** Takes what a user holds each time that it is more, to tell of it before something is forgotten. */
    readonly held?: (owner: string, bytes: number) => void
  }
  /** The log of the application. */
  readonly log: {
    /** Says what is worth knowing and needs no hand. */
    info (object: object, message: string): void
    /** Says what somebody should mend. */
    warn (object: object, message: string): void
  }
  /**
   * One event of a subscribed room, in offset order per room, each once. A `latest` value may be given again with its
   * version; without a version (set while the broker was away) it gives way to any that has one.
   * @returns members on this node that were offered it: a number at once, or later where they are so many that they are
   *   offered it in parts. The next event may be given before that.
   */
  event (room: string, packet: Packet): Awaitable<number>
  /**
   * Events after `from` up to `to` are lost to this node (or, with `from` equal to `to`, only the epoch is new);
   * without `from` it is not known how many, or the room was cleared. Delivery continues after `to`.
   *
   * @param shared offset up to which an epoch that is new is the same as the epoch before it: members that came from
   *   another node may be ahead of this one; absent: `to`
   */
  gap (
    room: string,
    gap: { readonly epoch: string, readonly from?: number, readonly to: number },
    shared?: number
  ): void
  /** A change of who is in a subscribed room, in the order of its sequence. */
  presence (room: string, change: PresenceChange): void
  /**
   * The `latest` values of a subscribed room as this node shows them, and the removals of some, each with its `age`:
   * what an adapter puts back where its broker has lost it.
   */
  values (room: string): Iterable<Packet>
  /** A message of another node. @param from id of the sending node; messages of this node do not come back */
  control (message: ControlMessage, from: string): void
  /**
   * The broker became reachable or unreachable.
   *
   * @param hasForgotten it is reachable and does not have the data that it had, or may have older data: what this node
   *   holds there is to be held anew
   * @returns for `hasForgotten`, when all of it is; rejects when some of it could not be
   */
  state (isUp: boolean, hasForgotten?: boolean): Awaitable<void>
  /**
   * The adapter has not read what other nodes said for longer than that is kept for certain, or the broker has dropped
   * some of it unread: the node compares whoever is connected with the denials, a few at a time. Not needed where
   * `state` says that the broker has forgotten.
   */
  missed (): void
}

/**
 * The layer between nodes. What a subscription carries is repaired by its position, or read again each time that the
 * subscription stands anew. What is refused to a caller does not happen later: the broker itself obeys the deadline of
 * every change. Where nobody can know, the Refusal says `outcome: 'unknown'`. Time and order are the broker's, never a
 * node's clock. For how long this process stood still itself does not count: nobody is told for that reason that the
 * broker is away.
 *
 * The node calls `start` once, then any other method, then `close` once. Room names are in their encoded
 * ASCII form. Every method may reject with a Refusal `unavailable` while the broker is away: nothing is queued, nothing
 * hangs. An absent capability is an absent property, never a method that throws.
 *
 * Written by implementers outside this package too: whatever is not said here is not relied on.
 */
export interface Adapter {
  /** Its name in logs and stats. */
  readonly name: string
  /** Connects. Rejects with REALTIME_ERR_ADAPTER where the server cannot be used as it is, and names the fix. */
  start (host: AdapterHost): Promise<void>
  /** Settles everything that waits, frees every connection and timer. */
  close (): Promise<void>
  /**
   * The first member of a room appeared on this node. Resolves with the newest position (`undefined` without history);
   * every event after it is given to `host.event`. Called again only after `unsubscribe`.
   */
  subscribe (room: string, settings: RoomSettings): Awaitable<Position | undefined>
  /**
   * The last member left; no event of the room is given to the node any more, but for acknowledged broadcasts already
   * under way: their publisher counts on a report.
   */
  unsubscribe (room: string): Awaitable<void>
  /**
   * Accepts an event: gives it a position, keeps it, hands it to all subscribed nodes. Resolves when it was accepted
   * and, where this node is subscribed, handed to `host.event` and what that returned is there. A repeated
   * `idempotencyKey` within the window resolves with the first position and 0 recipients.
   */
  publish (room: string, publication: Publication, settings: RoomSettings): Awaitable<Published>
  /**
   * Reads retained events. Absent: this adapter keeps none. What was kept before it was read, here and by `latest`, is
   * given with its `age`: nodes let it go when its time is over by that, and never by the `timestamp`, which is of a
   * clock that may be wrong. Where this node follows the room, keeps values of it and has not been given all events up
   * to `since` yet, the answer waits for them, some seconds at most: who asks would be shown older values than before.
   */
  history? (room: string, query: HistoryQuery, settings: RoomSettings): Awaitable<HistoryPage>
  /**
   * Current value of each `latest` key, or its removal, oldest set first. Absent: live only.
   *
   * A broker may lose values, or come back with older ones. Within seconds all nodes then agree again on one value of
   * each key, under one rule for all adapters. What is set after the loss wins over everything from before it, whatever
   * their versions or any clock says: so it gets, or is given again with, a version above all that any node has shown.
   * What was set before and is shown by a node (`host.values`), removals among it, is put back where the broker has
   * nothing, or something older. Nodes without members in the room know nothing of it. The broker decides each put back
   * by comparing, in one step, and gives what came of it to `host.event` of all subscribed nodes.
   */
  latest? (room: string, settings: RoomSettings): Awaitable<readonly Packet[]>
  /**
   * Forgets the events and the texts of a room, on all nodes. The clear has a place among the events: it takes an
   * offset of the stream, also of one that is empty, and from then on no position below that is honoured, not even the
   * newest of before; so nobody is resumed who may still show what is gone. Events go on behind it. Each node that
   * follows the room is told by `host.gap` up to that offset and without `from`, in order with the events; one whose
   * link was away, once it is back, with `from` where it cannot tell the clear from a loss. Each text becomes empty and
   * ends as `lost`, which is told as a stretch from 0: its writer has lost its key. Resolves when this node goes by it.
   *
   * Values stay: the node takes them away by `Publication.removes`. So do idempotency keys: what was published before
   * is not published again. Absent: no room can be cleared.
   */
  clear? (room: string, settings: RoomSettings): Awaitable<void>
  /** Texts of `append` events. Absent: a room that declares such an event is refused with REALTIME_ERR_ROOM. */
  readonly texts?: TextStore
  /** Whether publications may remove values (`Publication.removes`). Absent: nobody can remove one. */
  readonly removal?: true
  /** Who is in which room, on all nodes. Absent: members are told of nobody, and `members` rejects. */
  readonly presence?: PresenceStore
  /** Limits across nodes. Absent: each node keeps its own. */
  readonly leases?: LeaseStore
  /** Messages that take effect once, and tickets. Absent: what is sent again may run again, and no ticket is given. */
  readonly claims?: ClaimStore
  /** Revocations across nodes and restarts. Absent: `revoke` of a user or token rejects. */
  readonly denials?: DenialStore
  /** What nodes tell each other. Absent: one node is all there is. */
  readonly control?: Control
  /**
   * The secret that all nodes share: the first that any of them proposed, for as long as the server keeps its data and
   * somebody asks at least once a day. Connections that poll are recognised by it on every node. Absent: each node
   * knows its own alone.
   */
  secret? (proposed: string): Promise<string>
  /** Numbers for `/ws/stats`, e.g. whether the broker is reachable. */
  stats? (): Record<string, number | boolean | string>
}
