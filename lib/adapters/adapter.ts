import type { Delivery } from '../contract/types.js'
import type { Except, Packet } from '../protocol/packet.js'
import type { Code } from '../protocol/codes.js'
import type { Position } from '../protocol/position.js'
import type { Awaitable } from '../structures/awaitable.js'

export type { Awaitable } from '../structures/awaitable.js'

/** How a room's stream is kept; the same on every node. */
export interface RoomSettings {
  /** `false`: no offsets, no positions, at most once */
  readonly history: { readonly size: number, /** milliseconds */ readonly ttl: number } | false
  /** a `latest` event is declared: values have to be kept */
  readonly latest: boolean
  /** name pattern of the definition, e.g. `chat/:id` */
  readonly definition: string
}

/** What a node asks to be published. */
export interface Publication {
  readonly type: string
  /** JSON text, serialised once by the publisher */
  readonly data: string
  readonly delivery: Delivery
  /** of a `latest` event: the value of its key property */
  readonly key?: string | undefined
  /** Unix time, milliseconds */
  readonly timestamp: number
  readonly except?: Except | undefined
  /** id of an acknowledged broadcast: live only, no offset, never replayed */
  readonly ack?: string | undefined
  readonly idempotencyKey?: string | undefined
  /** user whose message makes it: whose remembered bytes the key counts to; without one it counts to the room */
  readonly owner?: string | undefined
}

export interface Published {
  /** absent without history, for `volatile` and `latest` events, and for acknowledged broadcasts */
  readonly position?: Position | undefined
  /** members on this node that were offered the event */
  readonly recipients: number
  /**
   * of an acknowledged broadcast: other nodes that the broker handed it to, each of which gives it to `host.event`;
   * absent where it does not tell
   */
  readonly nodes?: number
}

export interface HistoryQuery {
  /** events after this position */
  readonly since?: Position | undefined
  /** without `since`: the newest n, oldest of them first */
  readonly last?: number | undefined
  /** most events in one answer */
  readonly limit: number
  /**
   * Bytes of data after which a page ends, at least one event in it: of those that were asked for the oldest, also of
   * the newest n. A reader goes on behind the last of them. Not more than about so much is read at a time; absent: all
   * at once.
   */
  readonly bytes?: number | undefined
}

export interface HistoryPage {
  /**
   * `since` was honoured: every retained-class event after it is still there. Its epoch is the stream's, or a former
   * one, under one rule for all adapters: the stream holds all events up to it, and none that was ever accepted behind
   * it is lost. What a broker lost at the end of its data, the data cannot tell: it is compared with the highest
   * position that any node has seen, before a former epoch is honoured. A node that follows the room may honour what
   * its members have heard until it knows better; they, and whoever was resumed by that, are told by `host.gap` then.
   */
  readonly resumed: boolean
  /** oldest first; empty when `resumed` is false and `since` was asked */
  readonly events: readonly Packet[]
  /**
   * the bytes that were asked for ended the page, or, where they were, a broker that is slow: behind its last event
   * there is more of what was asked for
   */
  readonly isPart?: boolean | undefined
  /** the newest position of the stream */
  readonly top: Position
  /**
   * Where a reader of `since` goes on that is not resumed: before the oldest retained event that it cannot have seen.
   * At the top where nothing is known of its epoch. Without `since`: before the oldest retained event.
   */
  readonly floor: Position
}

export interface PresenceChange {
  readonly sequence: number
  readonly joined: ReadonlyArray<{ readonly userId: string, readonly data?: unknown }>
  readonly left: ReadonlyArray<{ readonly userId: string, readonly data?: unknown }>
}

export interface PresenceSnapshot {
  readonly sequence: number
  readonly total: number
  /** absent above `limit` users */
  readonly list?: ReadonlyArray<{ readonly userId: string, readonly data?: unknown }>
}

export interface PresenceEntry {
  readonly userId: string
  readonly connection: string
  readonly data?: unknown
}

/**
 * Who is in a room, by user. The store decides joins and leaves in one atomic step, so that exactly one node announces
 * each.
 */
export interface PresenceStore {
  /**
   * Adds or renews an entry, which ends `lease` ms after the node that holds it has gone. When it is the first of its
   * user, the change is announced to all nodes that subscribed the room, this one included, with the next sequence.
   */
  join (room: string, entry: PresenceEntry, lease: number): Awaitable<void>
  /**
   * Lets the entry of this node run out `grace` ms from now, not one that another node has joined under the same names
   * since; its user's leave is announced by a sweep after the last entry has run out.
   */
  leave (room: string, entry: PresenceEntry, grace: number): Awaitable<void>
  /**
   * The connection is in the room on another node by now: what a renewal that was under way has written for this node
   * since is let go. Absent where a renewal takes nothing from another node.
   */
  handOver? (room: string, entry: PresenceEntry): Awaitable<void>
  /**
   * Milliseconds between two renewals of entries that are joined with this lease; absent: a third of it. An adapter
   * that keeps entries for as long as it hears of their node needs them rarely, to repair what was lost.
   */
  renewal? (lease: number): number
  /**
   * Prolongs the leases of connections that live on this node, or makes them anew where they are lost. An entry that
   * another node has joined since under the same names is that node's: this one may not have heard that it moved.
   */
  renew? (
    entries: ReadonlyArray<{ readonly room: string, readonly entry: PresenceEntry }>,
    lease: number
  ): Awaitable<void>
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
   */
  acquire (key: string, holder: string, limit: number, ttl: number): Promise<boolean>
  /** Renews; a lease found missing is taken again unconditionally, one that another node has acquired since is its. */
  renew (leases: ReadonlyArray<{ readonly key: string, readonly holder: string }>, ttl: number): Promise<void>
  /** Frees a slot of this node, not one that another node has taken under the same names since. */
  release (key: string, holder: string): Promise<void>
  count (key: string): Promise<number>
}

export type Claim =
  /** nobody ran this: run it, then settle */
  | { readonly state: 'claimed' }
  /** it ran: `outcome` is what was settled */
  | { readonly state: 'settled', readonly outcome: string }
  /** somebody is running it */
  | { readonly state: 'running', /** milliseconds until its lease ends */ readonly retryAfter: number }
  /** the id was used for other content */
  | { readonly state: 'conflict' }

/** Message ids that take effect once, and one-use values such as tickets. */
export interface ClaimStore {
  /**
   * @param owner user whose message it is: over his own bytes he loses his oldest outcome, nobody else's
   * @param holder who asks. One that asks for what it has claimed and not settled has lost the answer, and is given it
   *   again; without, it is `running`.
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
 * What nodes tell each other apart from events. Fire and forget: nobody waits for all nodes. `revoke`, `leave` and
 * `moved` must not be lost on a node whose subscription was cut for a moment: they are kept for a minute at least, and
 * read again within two seconds, each passed on once.
 */
export interface Control {
  /** To all other nodes. Resolves when the broker took it; rejects with `unavailable` when it is away. */
  send (message: ControlMessage): Promise<void>
}

export type ControlMessage =
  | {
    readonly type: 'revoke'
    readonly user?: string
    readonly tokenId?: string
    readonly connection?: string
    readonly message?: string
    /** Unix time in milliseconds up to which it keeps out */ readonly until?: number
  }
  | { readonly type: 'join' | 'leave', readonly user?: string, readonly connection?: string, readonly room: string }
  /** `more`: another part follows */
  | {
    readonly type: 'members'
    readonly ack: string
    readonly members: ReadonlyArray<{ readonly connection: string, readonly userId: string }>
    readonly more?: boolean
  }
  /** `user`: whose connection it must be, where the sending node cannot know */
  | { readonly type: 'acked', readonly ack: string, readonly connection: string, readonly user?: string }
  | { readonly type: 'gone', readonly ack: string, readonly connection: string }
  /**
   * a connection that polls is polled on the sending node now, which holds its slots and its presence under the same
   * names
   */
  | { readonly type: 'moved', readonly user: string, readonly connection: string }
  /**
   * of the node on which a connection of the user lives: let it leave a room, end it, or renew its credential by a
   * ticket; `answer` says whether it was done
   */
  | {
    readonly type: 'ask'
    readonly id: string
    readonly user: string
    readonly connection: string
    readonly what: 'leave' | 'end' | 'auth'
    readonly room?: string
    readonly ticket?: string
  }
  /**
   * `code`: why it was not done, where there is more to say; `expires`: when a renewed credential does, Unix time in
   * milliseconds
   */
  | {
    readonly type: 'answer'
    readonly id: string
    readonly isDone: boolean
    readonly code?: Code
    readonly expires?: number
  }
  /** a connection of the user has answered the ping `id` */
  | { readonly type: 'pong', readonly user: string, readonly connection: string, readonly id: string }

/** Users and token ids kept out until a time. Consulted at every entry. */
export interface DenialStore {
  /** @param until Unix time in milliseconds */
  deny (subject: string, until: number): Awaitable<void>
  /** Asks again like `LeaseStore.acquire`, before it rejects with `unavailable`: the node goes by what it knows. */
  isDenied (subjects: readonly string[]): Awaitable<boolean>
}

/** What an adapter tells the node that started it. */
export interface AdapterHost {
  readonly nodeId: string
  /** bytes of outcomes that may be remembered, of this node's users together and of each; absent: 64 MiB and 4 MiB */
  readonly remembered?: { readonly bytes: number, readonly perUser: number }
  readonly log: { info (object: object, message: string): void, warn (object: object, message: string): void }
  /**
   * One event of a subscribed room, in offset order per room, each once. A `latest` value may be given again with its
   * version; without a version (set while the broker was away) it gives way to any that has one.
   * @returns members on this node that were offered it: a number at once, or later where they are so many that they are
   *   offered it in parts. The next event may be given before that.
   */
  event (room: string, packet: Packet): Awaitable<number>
  /**
   * Events after `from` up to `to` are lost to this node (or, with `from` equal to `to`, only the epoch is new).
   * Delivery continues after `to`.
   */
  gap (room: string, gap: { readonly epoch: string, readonly from?: number, readonly to: number }): void
  presence (room: string, change: PresenceChange): void
  /** @param from id of the sending node; messages of this node do not come back */
  control (message: ControlMessage, from: string): void
  /**
   * The broker became reachable or unreachable.
   *
   * @param hasForgotten it is reachable and does not have the data that it had: what this node holds there is to be
   *   held anew
   * @returns for `hasForgotten`, when all of it is; rejects when some of it could not be
   */
  state (isUp: boolean, hasForgotten?: boolean): Awaitable<void>
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
  readonly name: string
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
   * clock that may be wrong.
   */
  history? (room: string, query: HistoryQuery, settings: RoomSettings): Awaitable<HistoryPage>
  /** Current value of each `latest` key, oldest set first. Absent: live only. */
  latest? (room: string, settings: RoomSettings): Awaitable<readonly Packet[]>
  readonly presence?: PresenceStore
  readonly leases?: LeaseStore
  readonly claims?: ClaimStore
  readonly denials?: DenialStore
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
