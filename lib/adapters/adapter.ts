import type { Delivery } from '../contract/types.js'
import type { Except } from '../protocol/except.js'
import type { Packet } from '../protocol/packet.js'
import type { Part } from '../protocol/part.js'
import type { Position } from '../protocol/position.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { Control, ControlMessage } from './control-messages.js'
import type { ClaimStore, DenialStore, LeaseStore, PresenceChange, PresenceStore } from './stores.js'

export type { Awaitable } from '../structures/awaitable.js'
export type { Control, ControlMessage, ListedConnection, OlderConnection } from './control-messages.js'
export type {
  Claim, ClaimStore, DenialStore, LeaseStore, PresenceChange, PresenceEntry, PresenceSnapshot, PresenceStore,
  PresentUser, ShownUser
} from './stores.js'

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
   * is claimed, and the part of it that is of the publication. An adapter that keeps claims beside the keys may
   * remember both together.
   */
  readonly message?: {
    /** The key of the claim. */
    readonly claim: string
    /** Tells the publication from the others of its message in its room. */
    readonly part: string
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
  /**
   * Says of which texts nothing seems to be kept, without reading any. Such a text is read before it counts as lost.
   * Absent: each text that is silent is read every 15 s instead.
   */
  missing? (
    room: string,
    texts: ReadonlyArray<Pick<KeptText, 'type' | 'key'>>,
    settings: RoomSettings
  ): Awaitable<ReadonlyArray<Pick<KeptText, 'type' | 'key'>>>
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
