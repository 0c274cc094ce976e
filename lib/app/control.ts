import type { Control, ControlMessage } from '../adapters/adapter.js'
import type { Peer, Peers } from '../admission/peer.js'
import { checkControl } from '../adapters/broker/decode.js'
import { KEPT } from '../adapters/broker/envelopes.js'
import type { Unread } from '../adapters/broker/unread.js'
import type { Denials } from '../auth/denials.js'
import type { Revocations } from '../auth/revocations.js'
import type { BroadcastAcks } from '../dispatch/broadcast-acks.js'
import type { Dispatch } from '../dispatch/dispatch.js'
import type { DistantDepartures } from '../dispatch/distant-departures.js'
import type { Elsewhere } from '../dispatch/elsewhere.js'
import type { Gathering } from '../dispatch/gathering.js'
import type { Roster } from '../dispatch/roster.js'
import type { Owed, Untold } from '../dispatch/untold.js'
import type { Polls } from '../endpoint/polls.js'
import { isCode } from '../protocol/codes.js'
import type { Hub } from '../rooms/hub.js'
import type { Cluster } from '../stats/cluster.js'
import { ExpiringMap } from '../structures/expiring-map.js'
import { inBatches, inTurns } from '../structures/slices.js'
import type { Older } from './older.js'
import type { ListAnswer, OwnConnections } from './own-connections.js'
import type { Requests } from './requests.js'
import { isOver, isSpared } from './spared.js'
import { AT_ONCE, endOfToken, JOINED_AT_ONCE, peersOf, subjectOf } from './targets.js'

export interface RemoteControlOptions {
  readonly hub: Hub
  readonly connections: Peers
  readonly dispatch: Dispatch
  readonly revocations: Revocations
  readonly acks: BroadcastAcks
  readonly polls: Polls
  readonly untold: Untold
  readonly elsewhere: Elsewhere
  readonly distant: DistantDepartures
  readonly cluster: Cluster
  readonly denials: Denials
  readonly roster: Roster
  readonly requests: Requests
  readonly lists: Gathering<ListAnswer>
  readonly own: OwnConnections
  readonly older: Older
  /** Names this node to the others. */
  readonly node: string
  /** Takes the answers of this node; absent where no node asks. */
  readonly control: Control | undefined
  /** Counts messages of other nodes on which this node cannot act. */
  readonly unread: Unread
}

/**
 * Revocations that this node has acted on, of those that may be told again, and milliseconds for which it knows them:
 * longer than they are told again and kept.
 */
const MAX_HEARD = 10_000
const HEARD = 2 * KEPT

type Ask = Extract<ControlMessage, { readonly type: 'ask' }>
type Expel = Extract<ControlMessage, { readonly type: 'expel' }>
type List = Extract<ControlMessage, { readonly type: 'list' }>
type Revoke = Extract<ControlMessage, { readonly type: 'revoke' }>

/** Executes what other nodes ask of this one: the calls that the application makes by `app.rooms`, and requests. */
export class RemoteControl {
  readonly #options: RemoteControlOptions
  readonly #heard = new ExpiringMap<true>(MAX_HEARD)
  /** Lasts while connections are being taken out of rooms. */
  #out: Promise<unknown> = Promise.resolve()

  constructor (options: RemoteControlOptions) {
    this.#options = options
  }

  async handle (told: ControlMessage, from: string): Promise<void> {
    const message = checkControl(told)
    if (message === undefined || this.#isStrange(message)) {
      this.#options.unread.note('control', 0)
      return
    }
    const { dispatch, acks, cluster, connections, distant, hub, polls, elsewhere, revocations, roster, lists } =
      this.#options
    switch (message.type) {
      case 'revoke':
        await this.#revoke(message)
        return
      case 'join': {
        // Whoever is taken out while others are put in may have its turn only then.
        const since = revocations.moment
        const peers = peersOf(this.#options, message)
        await this.#out
        await inBatches(peers, JOINED_AT_ONCE, async (peer) => {
          await dispatch.joins.joinByServer(peer, message.room, since)
        })
        return
      }
      case 'leave':
        revocations.add({ user: message.user, connection: message.connection, of: message.of, room: message.room })
        await this.#takeOut(peersOf(this.#options, message), (peer) => {
          dispatch.joins.leaveByServer(peer, message.room)
        })
        return
      case 'expel':
        await this.#expel(message)
        return
      case 'close':
        await inTurns(peersOf(this.#options, message), AT_ONCE, (peer) => {
          peer.closeForApp(message.code, message.message)
        })
        return
      case 'cancel':
        hub.texts.cancelHere(message.room, message.event, message.key)
        return
      case 'members':
        acks.report(message.ack, from, message.members, message.more)
        return
      case 'acked':
        acks.answered(message.ack, message.connection, 'acked', message.user, message)
        return
      case 'gone':
        acks.answered(message.ack, message.connection, 'left')
        return
      case 'garbled': {
        const { connection, user } = message
        // It may have been asked here, and live on another node by now.
        if ((connections.get(connection)?.userId ?? user) === user) {
          acks.garbled(connection, message.message, message.ack, user)
        }
        return
      }
      case 'follow':
        distant.followed(message)
        return
      case 'departed':
        distant.departed(message)
        return
      case 'answer':
        elsewhere.answered(message.id, message)
        return
      case 'ask':
        await this.#ask(message)
        return
      case 'node':
        roster.heard(from, message.state)
        // It may have missed what it was asked before.
        if (message.state === 'new') distant.askAgain()
        return
      case 'request':
        await this.#options.requests.give(message)
        return
      case 'list':
        await this.#list(message)
        return
      case 'listed':
        lists.answered(message.id, from, message)
        return
      case 'oldest':
        await this.#options.older.answer(message)
        return
      case 'older':
        this.#options.older.answered(message.id, from, message.connections)
        return
      case 'look':
        await cluster.look(message)
        return
      case 'shown':
        cluster.shown(message, from)
        return
      case 'resumed':
        hub.resumed(message.room, message.user, message.former)
        return
      case 'pong': {
        const { connection, user, id } = message
        if (elsewhere.pinged(user, connection, id)) return
        const peer = connections.get(connection)
        if (peer?.userId === user) peer.pong(id)
        return
      }
      case 'owed':
        for (const owed of message.told) this.#owed(owed)
        return
      case 'moved': {
        acks.movedTo(message.connection, from)
        const peer = connections.get(message.connection)
        if (peer?.userId !== message.user || peer.transport !== 'polling') return
        const sent = this.#options.requests.moved(peer)
        polls.moved(peer)
        await sent
      }
    }
  }

  /**
   * Whether the message is of another application under the same prefix, or of a definition that only another version
   * has.
   */
  #isStrange (message: ControlMessage): boolean {
    // A list of a room that only other nodes know is empty here.
    return message.type !== 'list' && 'room' in message && message.room !== undefined &&
      this.#options.hub.declarations.find(message.room) === undefined
  }

  async #revoke (message: Revoke): Promise<void> {
    const { denials, revocations } = this.#options
    const { user, tokenId, connection, of } = message
    const subject = subjectOf(message)
    if (subject !== undefined && message.until !== undefined) denials.remember(subject, message.until)
    // While it is in force nobody can have come since, unless by a mistake.
    if (!this.#isNew(message) && isOver(message.until)) return
    revocations.add({ user, tokenId, connection, of, message: message.message })
    const end = message.isUntilEnd === true ? endOfToken(this.#options, message) : undefined
    await inTurns(peersOf(this.#options, message), AT_ONCE, (peer) => {
      if (!isSpared(peer, message.until)) peer.close('revoked', message.message)
    })
    if (subject === undefined || end === undefined || end <= (message.until ?? 0)) return
    denials.remember(subject, end)
    await denials.deny(subject, end)
  }

  async #expel (expel: Expel): Promise<void> {
    const { user, room, message, until, version } = expel
    const { denials, connections, revocations, dispatch } = this.#options
    denials.rememberTaken(user, room, until, version)
    const isNew = this.#isNew(expel)
    if (!isNew && isOver(until)) return
    if (isNew) revocations.add({ user, room, message, isTaken: true })
    await this.#takeOut(connections.ofUser(user), (peer) => {
      // The server may have put it back since this node heard of it first.
      const isBack = !isNew && peer.rooms.get(room)?.isByServer === true
      if (!isBack && !isSpared(peer, until)) dispatch.joins.leaveByServer(peer, room, 'revoked', message)
    })
  }

  /** Takes connections out of a room, before any of them is put in by a message that comes later. */
  async #takeOut (peers: Iterable<Peer>, step: (peer: Peer) => void): Promise<void> {
    const taking = inTurns(peers, AT_ONCE, step)
    this.#out = Promise.allSettled([this.#out, taking]).then(() => undefined)
    await taking
  }

  /** Whether it was not acted on yet. One that is told again would end who was let in since. */
  #isNew ({ id }: Revoke | Expel): boolean {
    if (id === undefined) return true
    const now = performance.now()
    if (this.#heard.get(id, now) !== undefined) return false
    this.#heard.set(id, true, now + HEARD, now)
    return true
  }

  /** A connection may have come here before this was known. */
  #owed (owed: Owed): void {
    const { connections, dispatch: { joins }, untold } = this.#options
    untold.keep(owed)
    const { user, connection, room, code, message, isOver } = owed
    const peer = connections.get(connection)
    if (peer?.userId !== user || peer.transport !== 'polling' || isOver === true) return
    if (room !== undefined && code !== undefined) joins.leaveByServer(peer, room, code, message)
    else if (room !== undefined) joins.leaveByPeer(peer, room)
    else if (isCode(code)) peer.close(code, message)
  }

  async #list ({ id, ...question }: List): Promise<void> {
    const { own, control } = this.#options
    const answer = await own.page(question)
    if (answer !== undefined) await control?.send({ type: 'listed', id, ...answer })
  }

  /** Answers a request for a connection of this node; where the connection is not here, another node answers. */
  async #ask (message: Ask): Promise<void> {
    const { dispatch, connections, elsewhere, older, node } = this.#options
    if (message.what === 'replace') {
      if (message.node !== node) return
      await elsewhere.answer(message.id, { isDone: await older.endHere(message.user, message.connection) })
      return
    }
    const peer = connections.get(message.connection)
    if (peer?.userId !== message.user || !peer.isOpen) return
    if (message.what === 'auth') {
      await elsewhere.answer(message.id, await dispatch.renew(peer, message.ticket ?? ''))
      return
    }
    if (message.what === 'end') peer.finish()
    const isDone = message.what === 'end' ||
      (message.room !== undefined && dispatch.joins.leaveByPeer(peer, message.room))
    await elsewhere.answer(message.id, { isDone })
  }
}
