import type { Awaitable } from '../structures/awaitable.js'

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
 * each. A node whose link was away is given, when it is back, the changes that it missed in subscribed rooms in which
 * it has entries; where they are no longer kept, one of nobody with the newest sequence, after which members ask.
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

/** Users and token ids kept out until a time. Consulted at every entry. */
export interface DenialStore {
  /**
   * Keeps a subject out, for as long as the longest denial of it says.
   *
   * @param until Unix time in milliseconds
   * @param version tells the denial from those before, whose versions are lower; of several the highest is kept
   */
  deny (subject: string, until: number, version?: number): Awaitable<void>
  /**
   * The highest version of the denials of a subject that is denied: a node that has heard of one knows by it whether it
   * has missed a later one. Absent: nobody can tell.
   */
  version? (subject: string): Awaitable<number | undefined>
  /** Asks again like `LeaseStore.acquire`, before it rejects with `unavailable`: the node goes by what it knows. */
  isDenied (subjects: readonly string[]): Awaitable<boolean>
}
