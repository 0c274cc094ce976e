import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { Admitted } from '../admission/admission.js'
import type { Peer, PeerHost, Peers } from '../admission/peer.js'
import type { Slots } from '../admission/slots.js'
import { Connection } from '../connection/connection.js'
import type { Link } from '../connection/link.js'
import { CONNECTION_OPEN } from '../diagnostics/channels.js'
import type { FirstRooms } from '../dispatch/first-rooms.js'
import type { JoinResult } from '../dispatch/join-result.js'
import type { Settings } from '../options/resolve.js'
import type { Ledger, Transport } from '../stats/ledger.js'
import type { Upgrade } from '../transports/websocket.js'
import type { Exchanges } from './exchanges.js'
import { Welcome } from './welcome.js'

export interface OpeningsOptions {
  readonly settings: Settings
  readonly firstRooms: FirstRooms
  readonly connections: Peers
  readonly slots: Slots
  readonly exchanges: Exchanges
  readonly ledger: Ledger
  readonly host: PeerHost
  readonly upgradeOf: (request: FastifyRequest) => Upgrade | undefined
  readonly log: FastifyBaseLogger
}

/** Opens a connection with its rooms for an admitted request, in the same way for all transports. */
export class Openings {
  readonly #options: OpeningsOptions
  readonly #welcome: Welcome
  /** What ends the watch of requests that hold slots and are not connections yet, by their connection ids. */
  readonly #underWay = new Map<string, () => void>()

  constructor (options: OpeningsOptions) {
    this.#options = options
    this.#welcome = new Welcome(options.settings)
  }

  /** A request is still being let in under this id. */
  isUnderWay (id: string): boolean { return this.#underWay.has(id) }

  /**
   * Releases the slots of a request that never becomes a connection. Only the end of its transport tells of that,
   * because a later hook may refuse the request or the client may go. A poll may be over late: its client may have come
   * back by the same id, with slots of its own.
   */
  watch (request: FastifyRequest, id: string): void {
    const { connections, slots, upgradeOf, exchanges } = this.#options
    const socket = request.ws ? upgradeOf(request)?.socket : undefined
    const releaseSlots = slots.releasing(id)
    const release = (): void => {
      if (this.#underWay.get(id) === unwatch) this.#underWay.delete(id)
      if (connections.get(id) === undefined) releaseSlots()
    }
    const unwatch = (): void => { socket?.off('close', release) }
    this.#underWay.set(id, unwatch)
    if (!request.ws) return exchanges.whenOver(request.raw, release)
    if (socket === undefined || socket.destroyed) release()
    else socket.once('close', release)
  }

  /**
   * Makes the connection of an admitted request.
   *
   * @param link absent for a poll, which brings its own each time
   */
  connect (
    { connectionId, identity }: Admitted,
    address: string,
    link: Link | undefined,
    transport: Transport = link!.transport
  ): Peer {
    const { host, connections, slots, ledger, log } = this.#options
    // The end of the connection releases its slots from here on; a listener would keep the request with the socket.
    this.#underWay.get(connectionId)?.()
    this.#underWay.delete(connectionId)
    const replaced = slots.replace(connectionId)
    if (replaced !== undefined) connections.get(replaced)?.close('replaced')
    const connection = new Connection(host, { id: connectionId, address, identity })
    connections.add(connection, transport)
    ledger.opened[transport]++
    const { userId } = identity
    log.info({ connectionId, userId, transport, address }, 'connection opened')
    if (CONNECTION_OPEN.hasSubscribers) CONNECTION_OPEN.publish({ connectionId, userId, transport, address })
    if (link !== undefined) connection.attach(link)
    return connection
  }

  /**
   * Enters the rooms of a connection and welcomes it.
   *
   * @param entered called with the result of each room before the welcome is made
   */
  open (connection: Peer, { entries, since }: Admitted, entered?: (rooms: readonly JoinResult[]) => void): void {
    const failed = (error: unknown): void => {
      this.#options.log.error({ err: error, connectionId: connection.id }, 'opening a connection failed')
      connection.close('internal')
    }
    try {
      const opened = this.#options.firstRooms.open(connection, entries, since, (rooms) => {
        entered?.(rooms)
        return this.#welcome.packet(connection, rooms)
      })
      if (opened instanceof Promise) opened.catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}
