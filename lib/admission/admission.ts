import type { FastifyRequest } from 'fastify'
import type { Access } from './access.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { Authentication } from '../auth/authentication.js'
import { hasEnded, isExpired } from '../auth/expiry.js'
import type { Credential, Credentials } from '../auth/credentials.js'
import type { Identity } from '../connection/identity.js'
import type { Peer } from './peer.js'
import {
  followed, isUnnamed, partsOfCursor, peek, queryOf, readCursor, requestOf, type Kind, type Query
} from './query.js'
import type { Readiness } from './readiness.js'
import type { RequestedRoom } from '../rooms/joining.js'
import { ofUser, Refusal } from '../errors/refusal.js'
import { checkOrigin, pageOf } from './origin.js'
import type { Settings } from '../options/resolve.js'
import type { Cursor, CursorParts } from '../protocol/cursor.js'
import type { ConnectionIds } from './connection-ids.js'
import type { RefusedUpgrades, Asker } from '../server/refused-upgrades.js'
import type { Hub } from '../rooms/hub.js'
import type { Revocations } from '../auth/revocations.js'
import { ProxyWarning } from './proxy-warning.js'
import { Reservations, type OlderConnections } from './reservations.js'
import { askedNames, roomNamesOf } from './room-names.js'
import type { Slots } from './slots.js'
import type { ResolvedRoom } from '../rooms/declarations.js'

export interface AdmissionOptions {
  readonly settings: Settings
  readonly auth: Authentication
  readonly credentials: Credentials
  readonly slots: Slots
  readonly rooms: Hub
  readonly access: Access
  readonly connectionIds: ConnectionIds
  /** Refused upgrades, of which a verdict tells too. */
  readonly refusedUpgrades: RefusedUpgrades
  readonly revocations: Revocations
  /**
   * Charges the user's rate for a request that is no poll of a connection of this node; throws a Refusal
   * `rate_limited`.
   */
  readonly spend: (request: FastifyRequest, userId: string, isOpening: boolean) => void
  readonly readiness: Readiness
  readonly ofUser: (userId: string) => Peer[]
  readonly find: (id: string) => Peer | undefined
  readonly older: OlderConnections
  readonly untold: UntoldEnds
}

/** What the polls of connections are still to be told, on whichever node it was done. */
interface UntoldEnds {
  /** Returns once why a connection was ended for good between two polls. */
  takeEnding (connection: string): Refusal | undefined
  /** Returns something where a connection is out of a room. */
  outOf (connection: string, room: string): object | undefined
}

const NONE: ReadonlySet<string> = new Set()

/** The outcome of an admission. Slots of `connectionId` are taken where the kind takes any. */
export interface Admitted {
  readonly kind: Kind
  readonly identity: Identity
  readonly carrier: string | undefined
  readonly connectionId: string
  readonly entries: readonly RequestedRoom[]
  /** Rooms that a poll which comes from another node does not enter, because its connection is out of them. */
  readonly out: ReadonlySet<string>
  /** Rooms of the URL, then the built-in ones: a cursor covers them in this order. */
  readonly cursorRooms: readonly string[]
  readonly cursor: Cursor | undefined
  /** The connection that the request says it follows: a poll continues it, where it polled as well. */
  readonly former: string | undefined
  /** Whether the events of a stream go out without the line with their name. */
  readonly isUnnamed: boolean
  /** Whether slots were taken for `connectionId`. */
  readonly isReserved: boolean
  /** The connection of a poll, where it is on this node. */
  readonly known: Peer | undefined
  /** The moment of the revocations at which the admission began. */
  readonly since: number
}

/** What a request asks for, as far as that is known before its credential is verified. */
interface Asked {
  readonly request: FastifyRequest
  readonly kind: Kind
  readonly query: Query
  readonly parts: CursorParts | undefined
  readonly names: readonly string[]
  readonly credential: Credential | undefined
  /** Whether it takes slots, unless it is a poll of a connection of this node. */
  readonly isHeld: boolean
  readonly since: number
}

/** Where a request resumes: the rooms that its cursor covers, and its former connection. */
interface Place extends Pick<Admitted, 'cursorRooms' | 'cursor' | 'former' | 'known'> {
  /** In the order of the names, with which `cursorRooms` begins. */
  readonly found: readonly ResolvedRoom[]
}

/** Decides whether to let a connection in, before its request is upgraded or streamed. */
export class Admission {
  readonly #options: AdmissionOptions
  readonly #reservations: Reservations
  readonly #proxyWarning: ProxyWarning

  constructor (options: AdmissionOptions) {
    this.#options = options
    const { slots, settings: { limits }, ofUser, older } = options
    this.#reservations = new Reservations({ slots, limits, ofUser, older })
    this.#proxyWarning = new ProxyWarning(limits.address)
  }

  /**
   * Admits a request. The checks come in this order: draining, server full and address limit (without taking a slot),
   * origin, room name, credential, room unknown, user limit (without taking a slot), authorize; then all slots of this
   * node are taken in one synchronous step, then the adapter's leases. The result is no promise unless the admission
   * has to wait, because an upgrade that is over in the turn that brought it needs no care in between.
   *
   * @param path the room of the URL as it stood there, undecoded; empty for the bare prefix
   * @throws Refusal of the first check that fails
   */
  admit (request: FastifyRequest, kind: Kind, path: string, offered?: readonly string[]): Awaitable<Admitted> {
    const { settings, slots, auth, credentials, revocations } = this.#options
    const since = revocations.moment
    const isHeld = kind === 'websocket' || kind === 'sse' || kind === 'polling'
    const query = queryOf(request, kind)
    const parts = partsOfCursor(query)
    const polled = kind === 'polling' ? peek(query, parts) : undefined
    const named = kind === 'uplink' ? ownOf(request) : polled
    this.#checkReady(named)
    this.#proxyWarning.look(request)
    const credential = credentials.find(request, offered)
    if (kind === 'verdict') this.#repeat(request, credential, path)
    if ((isHeld && (polled === undefined || !slots.has(polled))) || kind === 'verdict') {
      slots.checkServer(request.ip ?? '')
    }
    checkOrigin(
      request,
      settings.origins,
      credentials.isAmbient(credential),
      kind === 'websocket' || kind === 'uplink',
      kind === 'verdict' ? pageOf(request) : undefined
    )
    const names = roomNamesOf(path, query, kind, settings.limits.rooms)
    // A ticket that was spent on another kind of request would be missing where it is needed.
    if (credential?.carrier === 'ticket' && kind !== 'websocket' && kind !== 'sse') {
      throw new Refusal('unauthorized', {
        message: 'a ticket opens one WebSocket or one stream',
        why: { fix: 'give polls and messages by POST another credential of auth.carriers' }
      })
    }
    const ending = polled === undefined ? undefined : this.#options.untold.takeEnding(polled)
    if (ending !== undefined) throw ending
    const asked: Asked = { request, kind, query, parts, names, credential, isHeld, since }
    const identity = named !== undefined
      ? this.#identifyAgain(request, credential, named)
      : auth.identify(request, credential)
    return identity instanceof Promise
      ? identity.then((found) => this.#named(asked, found))
      : this.#named(asked, identity)
  }

  /**
   * Identifies who has a connection. Once its credential has expired, `authenticate` may no longer know whose it was:
   * the connection tells the reason then, as the end of a WebSocket does.
   */
  #identifyAgain (
    request: FastifyRequest,
    credential: Credential | undefined,
    connection: string
  ): Awaitable<Identity> {
    const { auth, find } = this.#options
    const fail = (error: unknown): never => {
      const isUnknown = error instanceof Refusal && error.word === 'unauthorized'
      throw isUnknown && hasEnded(find(connection)?.identity.exp) ? new Refusal('token_expired') : error
    }
    try {
      const identity = auth.identify(request, credential)
      return identity instanceof Promise ? identity.catch(fail) : identity
    } catch (error) {
      return fail(error)
    }
  }

  /** From here on a refusal names the user. */
  #named (asked: Asked, identity: Identity): Awaitable<Admitted> {
    try {
      const admitted = this.#identified(asked, identity)
      return admitted instanceof Promise
        ? admitted.catch((error: unknown) => { throw ofUser(error, identity.userId) })
        : admitted
    } catch (error) {
      throw ofUser(error, identity.userId)
    }
  }

  #identified (asked: Asked, identity: Identity): Awaitable<Admitted> {
    const { names, query, kind, isHeld } = asked
    const { rooms, access } = this.#options
    const found = names.map((name) => inRoom(name, () => rooms.resolve(name)))
    const builtIn = access.builtIn(identity.userId)
    const cursorRooms = builtIn.length === 0 ? names : [...names, ...builtIn.filter((name) => !names.includes(name))]
    const cursor = readCursor(query, asked.parts, cursorRooms)
    const former = followed(query, cursor)
    const known = kind === 'polling' && former !== undefined ? this.#known(former, identity.userId) : undefined
    // A poll without a cursor may enter other rooms, whichever connection it continues.
    if (known === undefined || cursor === undefined) this.#options.spend(asked.request, identity.userId, isHeld)
    if ((isHeld && known === undefined) || kind === 'verdict') this.#reservations.checkUser(identity.userId)
    const place = { found, cursorRooms, cursor, former, known }
    for (let index = 0; index < names.length; index++) {
      const allowed = access.allowFound(names[index]!, found[index]!, identity)
      if (allowed instanceof Promise) return this.#allowedLater(asked, identity, place, index, allowed)
    }
    return this.#allowed(asked, identity, place)
  }

  async #allowedLater (
    asked: Asked,
    identity: Identity,
    place: Place,
    first: number,
    underWay: Promise<unknown>
  ): Promise<Admitted> {
    await underWay
    for (let index = first + 1; index < asked.names.length; index++) {
      await this.#options.access.allowFound(asked.names[index]!, place.found[index]!, identity)
    }
    return await this.#allowed(asked, identity, place)
  }

  #allowed (
    { request, kind, query, credential, isHeld, since }: Asked,
    identity: Identity,
    place: Place
  ): Awaitable<Admitted> {
    const { rooms } = this.#options
    const { found, cursorRooms, cursor, former } = place
    const own = kind === 'uplink' ? ownOf(request) : place.known?.id
    this.#ask(since, identity, place.known?.id ?? cursor?.connection, own)
    // The connection that is polled may have ended while its user was being authorised.
    const known = place.known === undefined ? undefined : this.#known(place.known.id, identity.userId)
    const entries = cursorRooms.map((name, index): RequestedRoom => ({
      name,
      found: found[index] ?? rooms.resolve(name),
      request: requestOf(query, cursor, index, name)
    }))
    const connectionId = known?.id ??
      (kind === 'polling'
        ? this.#pollId(former, identity.userId)
        : this.#options.connectionIds.create(identity.userId, 'link'))
    const isReserved = isHeld && known === undefined
    const out = kind === 'polling' && known === undefined ? this.#outOf(cursor, connectionId, cursorRooms) : NONE
    const admitted = {
      kind,
      identity,
      carrier: credential?.carrier,
      connectionId,
      entries,
      out,
      cursorRooms,
      cursor,
      former,
      isUnnamed: kind === 'sse' && isUnnamed(query),
      isReserved,
      known,
      since
    }
    if (isReserved) {
      const entered = out.size === 0 ? entries : entries.filter(({ name }) => !out.has(name))
      const leased = this.#reservations.take(request, connectionId, identity.userId, entered, () => {
        this.confirm(admitted)
        // Another one may have replaced it while it went on here.
        const ending = kind === 'polling' ? this.#options.untold.takeEnding(connectionId) : undefined
        if (ending !== undefined) throw ending
      })
      if (leased !== undefined) return leased.then(() => admitted)
    } else if (kind === 'verdict' || (known !== undefined && cursor === undefined)) {
      this.#reservations.checkRooms(entries, known?.id)
    }
    return admitted
  }

  /**
   * Remembers the refusal of an upgrade for the client that asks for its reason, because a browser shows its page
   * nothing of the answer to an upgrade.
   */
  remember (request: FastifyRequest, path: string, refusal: Refusal): void {
    const { refusedUpgrades, credentials } = this.#options
    refusedUpgrades.remember(askerOf(request, credentials.find(request), path), refusal)
  }

  /**
   * While the server drains, each connection is served until its turn. So its messages by POST are let in, and its
   * polls, since it has no other way to be told.
   *
   * @param own the connection that a poll or a POST says is its own
   * @param userId absent before the credential is verified
   */
  #checkReady (own: string | undefined, userId?: string): void {
    const { readiness, find } = this.#options
    if (readiness.isAccepting) return
    const peer = own === undefined || !readiness.isServing ? undefined : find(own)
    if (peer?.isOpen !== true || (userId !== undefined && peer.userId !== userId)) readiness.check()
  }

  #repeat (request: FastifyRequest, credential: Credential | undefined, path: string): void {
    const refusal = this.#options.refusedUpgrades.take(askerOf(request, credential, path))
    if (refusal !== undefined) throw refusal
  }

  /**
   * Checks again what may have changed while the admission waited, for the application's hooks for example. The caller
   * must use the admission without waiting after this.
   *
   * @throws Refusal
   */
  confirm ({ identity, since, connectionId, entries, known }: Admitted): void {
    const { revocations } = this.#options
    try {
      this.#ask(since, identity, connectionId, known?.id)
      if (since !== revocations.moment) {
        for (const { name } of entries) revocations.checkRoom(since, { ...identity, connection: connectionId }, name)
      }
      if (known !== undefined && !known.isOpen) {
        throw known.ending ?? new Refusal('timeout', { message: 'the connection has gone' })
      }
    } catch (error) {
      throw ofUser(error, identity.userId)
    }
  }

  #ask (
    since: number,
    { userId, tokenId, exp }: Identity,
    connection: string | undefined,
    own: string | undefined
  ): void {
    this.#checkReady(own, userId)
    this.#options.revocations.check(since, { userId, tokenId, connection })
    if (isExpired(exp)) throw new Refusal('token_expired')
  }

  /**
   * Checks a POST that enters no room: draining, address limit and origin.
   *
   * @throws Refusal
   */
  checkCaller (request: FastifyRequest): void {
    const { credentials, settings, slots, readiness } = this.#options
    readiness.check()
    slots.checkAddress(request.ip ?? '')
    // A ticket proves nothing here, and would hide a cookie.
    const credential = credentials.findLasting(request)
    checkOrigin(request, settings.origins, credentials.isAmbient(credential), true)
  }

  /**
   * Identifies the caller of the admin routes. A ticket is not accepted, nor a page of a foreign origin with a
   * credential that a browser adds on its own.
   *
   * @throws Refusal
   */
  async identify (request: FastifyRequest): Promise<Identity> {
    const { auth, credentials, settings } = this.#options
    const credential = credentials.findLasting(request)
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    if (credentials.isAmbient(credential)) checkOrigin(request, settings.origins, true, !isRead)
    return await auth.identify(request, credential)
  }

  /**
   * Id of a polling connection: it keeps its id on whichever node it polled before. One that is not proven is replaced
   * by a new one, and the poll keeps its positions.
   */
  #pollId (former: string | undefined, userId: string): string {
    const { slots, connectionIds } = this.#options
    return former !== undefined && connectionIds.isProven(former, userId) && !slots.has(former)
      ? former
      : connectionIds.create(userId)
  }

  /** Rooms that the peer has heard to be out of, and those that it is to hear so of. */
  #outOf (cursor: Cursor | undefined, id: string, cursorRooms: readonly string[]): ReadonlySet<string> {
    if (cursor === undefined) return NONE
    const { untold } = this.#options
    return new Set(cursorRooms.filter((name, index) => {
      return cursor.entries[index]?.isOut === true || untold.outOf(id, name) !== undefined
    }))
  }

  #known (id: string, userId: string): Peer | undefined {
    const peer = this.#options.find(id)
    return peer !== undefined && peer.isOpen && peer.userId === userId && peer.transport === 'polling'
      ? peer
      : undefined
  }
}

/** Returns the connection that a POST says is its own. */
function ownOf ({ headers }: FastifyRequest): string | undefined {
  const own = headers['x-connection-id']
  return typeof own === 'string' ? own : undefined
}

/**
 * Names a client that asks for a verdict. The same token may come by another carrier, because an upgrade of a browser
 * has no header for it.
 */
function askerOf (request: FastifyRequest, credential: Credential | undefined, path: string): Asker {
  const { ip, headers: { cookie, origin = pageOf(request) }, query } = request
  const rooms = [...askedNames(path, (query as Query).room)].sort()
  return { address: ip ?? '', credential: credential?.token ?? cookie ?? '', rooms, origin: origin ?? '' }
}

function inRoom<T> (name: string, step: () => T): T {
  try {
    return step()
  } catch (error) {
    throw error instanceof Refusal ? error.in(name) : error
  }
}
