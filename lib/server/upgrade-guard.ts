import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { Refusal } from '../errors/refusal.js'
import type { Code } from '../protocol/codes.js'
import { after } from '../structures/timers.js'
import { declineForeignUpgrades, isForeignUpgrade, serveForeignUpgrade } from './foreign-upgrades.js'
import {
  isTakenOver, isUnanswered, PendingUpgrades, responseOf, writtenTo, type PendingUpgrade, type Upgrade
} from './pending-upgrades.js'
import { RefusedSockets } from './refused-sockets.js'

export interface UpgradeGuardOptions {
  /** Milliseconds for which an upgrade may be neither completed nor refused, default 10 000. */
  readonly deadline?: number | undefined
  /** Upgrades under way at once, in total and from one address. */
  readonly pending?: number | undefined
  readonly pendingPerAddress?: number | undefined
  /** Returns the address to which an upgrade counts; by default the other end of its socket. */
  readonly addressOf?: ((raw: object) => string | undefined) | undefined
  /**
   * Whether an address stands for many clients, so that only the total counts for it; called when its limit is reached.
   */
  readonly isShared?: ((address: string, peer: string | undefined) => boolean) | undefined
  /** Milliseconds for which a refused peer may keep its side open after the answer, default 500. */
  readonly linger?: number | undefined
  /** Milliseconds that `close` gives upgrades under way to finish, default 500. */
  readonly grace?: number | undefined
  /** Called when an upgrade has outlived its event: with how many do so, and how many of an address with a limit. */
  readonly onPending?: ((total: number, ofAddress: number, address: string | undefined) => void) | undefined
  /** Called when the guard itself refuses an upgrade: `server_full`, `address_limit`, `draining`, `timeout`. */
  readonly onRefused?: ((code: Code, refusal: Refusal, address: string | undefined) => void) | undefined
}

type Emit = EventEmitter['emit']

const DEADLINE = 10_000
const PENDING = 1_000
const PENDING_PER_ADDRESS = 64
const LINGER = 500
const GRACE = 500

/**
 * Owns every socket from the server's `upgrade` event until its upgrade is completed. Node takes such a socket out of
 * all its timeouts, and `@fastify/websocket` ends it only on some of the refusal paths, so any peer could make the
 * server hold sockets for ever.
 */
export class UpgradeGuard {
  readonly #server: EventEmitter
  readonly #options: UpgradeGuardOptions
  readonly #most: number
  readonly #mostOfAddress: number
  readonly #grace: number
  readonly #pending: PendingUpgrades
  readonly #refused: RefusedSockets
  /** Upgrades whose event is being handled: one, unless another event is emitted in between. */
  readonly #dispatched: PendingUpgrade[] = []
  readonly #unfollow: Array<() => void>
  #closing: Promise<void> | undefined
  #isStopped = false

  constructor (server: EventEmitter, options: UpgradeGuardOptions = {}) {
    const { deadline = DEADLINE, pending = PENDING, pendingPerAddress = PENDING_PER_ADDRESS, linger = LINGER } = options
    this.#server = server
    this.#options = options
    this.#most = pending
    this.#mostOfAddress = pendingPerAddress
    this.#grace = options.grace ?? GRACE
    this.#pending = new PendingUpgrades(deadline, (entry) => { this.#cut(entry, 'timeout') })
    this.#refused = new RefusedSockets(linger, pending)
    this.#unfollow = [declineForeignUpgrades(server), this.#own()]
  }

  /** Number of upgrades neither completed nor refused yet. */
  get pending (): number { return this.#pending.size }

  /**
   * Returns what is needed to complete the upgrade of a raw request; `undefined` for a plain request, and once the
   * upgrade is settled or its socket is gone.
   */
  upgradeOf (raw: object): Upgrade | undefined {
    return this.#dispatched.find((entry) => entry.raw === raw) ?? this.#pending.get(raw)
  }

  /** Tells that the upgrade has completed: its socket belongs to the WebSocket from here on. */
  settle (raw: object): void {
    const at = this.#dispatched.findIndex((entry) => entry.raw === raw)
    if (at !== -1) {
      this.#dispatched.splice(at, 1)
      return
    }
    const entry = this.#pending.get(raw)
    if (entry !== undefined) this.#pending.delete(entry)
  }

  /** Settles the upgrades that another WebSocket server (the `websocketServer` of the app) completes. */
  follow (websocketServer: EventEmitter): void {
    const onConnection = (_socket: unknown, raw: object): void => { this.settle(raw) }
    websocketServer.on('connection', onConnection)
    this.#unfollow.push(() => { websocketServer.off('connection', onConnection) })
  }

  /**
   * Refuses upgrades from here on, lets those under way finish for a moment and ends the rest; it is for the preClose
   * hook.
   */
  close (): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      if (this.#pending.size === 0) {
        resolve()
        return
      }
      const timer = after(() => {
        for (const entry of this.#pending.items()) this.#cut(entry, 'draining')
      }, this.#grace)
      this.#pending.onEmpty = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    return this.#closing
  }

  /** Restores the server as it was before; it is also called when the server has closed. */
  stop (): void {
    if (this.#isStopped) return
    this.#isStopped = true
    void this.close()
    this.#pending.stop()
    this.#refused.stop()
    for (const off of this.#unfollow.splice(0)) off()
  }

  /**
   * Takes the server's `upgrade` events before all other code. A listener, however early, cannot keep an upgrade from
   * those after it: an upgrade above the limit would still run through all hooks of the app.
   *
   * @returns a function that gives them back
   */
  #own (): () => void {
    const server = this.#server
    const isOwned = Object.hasOwn(server, 'emit')
    const emit: Emit = server.emit
    // Tracing wraps the `emit` that all servers share, perhaps later than now.
    const others = (): Emit => isOwned ? emit : (Object.getPrototypeOf(server) as EventEmitter).emit
    const take = (target: EventEmitter, args: unknown[], next: () => boolean): boolean => this.#take(target, args, next)
    const guarded: Emit = function (this: EventEmitter, event, ...args) {
      if (event !== 'upgrade') return Reflect.apply(others(), this, [event, ...args]) as boolean
      return take(this, args, () => Reflect.apply(others(), this, [event, ...args]) as boolean)
    }
    // Without any listener Node would answer upgrades as plain requests, and that of @fastify/websocket is removed
    // before the server closes.
    const listen = (): void => {}
    const stop = (): void => { this.stop() }
    server.emit = guarded
    server.prependListener('upgrade', listen)
    server.once('close', stop)
    return () => {
      server.off('upgrade', listen)
      server.off('close', stop)
      // Code that wrapped `emit` after this guard keeps the function, which does no harm.
      if (server.emit !== guarded) return
      if (isOwned) server.emit = emit
      else delete (server as { emit?: Emit }).emit
    }
  }

  /**
   * Handles one upgrade. The servers that Fastify adds for further addresses of `localhost` keep this function, so it
   * refuses even when stopped.
   */
  #take (server: EventEmitter, args: unknown[], next: () => boolean): boolean {
    const [raw, socket, head] = args as [IncomingMessage, Duplex, Buffer]
    if (isForeignUpgrade(raw)) {
      serveForeignUpgrade(server, raw, socket, head)
      return true
    }
    const entry = this.#admit(raw, socket, head)
    return entry === undefined || this.#dispatch(entry, next)
  }

  /** Admits an upgrade; `undefined` when it is refused, and then no other listener may see it. */
  #admit (raw: object, socket: Duplex, head: Buffer): PendingUpgrade | undefined {
    const { addressOf } = this.#options
    const peer = (socket as { remoteAddress?: string }).remoteAddress
    const address = addressOf === undefined ? peer : addressOf(raw)
    const code = this.#limitReached(address, peer)
    if (code === undefined) {
      return { raw, socket, head, address, written: writtenTo(socket), response: undefined, release: () => {} }
    }
    this.#refuse(socket, code, address)
    return undefined
  }

  #limitReached (address: string | undefined, peer: string | undefined): Code | undefined {
    if (this.#closing !== undefined) return 'draining'
    if (this.#pending.size >= this.#most) return 'server_full'
    if (address !== undefined && this.#pending.countOf(address) >= this.#mostOfAddress &&
      this.#options.isShared?.(address, peer) !== true) {
      return 'address_limit'
    }
    return undefined
  }

  #countOf ({ address, socket }: PendingUpgrade): number {
    if (address === undefined) return 0
    const isShared = this.#options.isShared?.(address, (socket as { remoteAddress?: string }).remoteAddress) === true
    return isShared ? 0 : this.#pending.countOf(address)
  }

  #refuse (socket: Duplex, code: Code, address: string | undefined): void {
    // Peers that are refused together must not come back together.
    const retryAfter = code === 'server_full' || code === 'address_limit' ? 1_000 + Math.random() * 2_000 : undefined
    const why = code === 'server_full'
      ? { limit: 'limits.pending.total', value: this.#most }
      : code === 'address_limit' ? { limit: 'limits.pending.address', value: this.#mostOfAddress } : undefined
    const refusal = new Refusal(code, { retryAfter, why })
    this.#options.onRefused?.(code, refusal, address)
    this.#refused.answer(socket, refusal)
  }

  /** Cuts an upgrade that is neither completed nor refused in time. */
  #cut (entry: PendingUpgrade, code: Code): void {
    this.#pending.delete(entry)
    if (entry.socket.destroyed) return
    if (isUnanswered(entry)) this.#refuse(entry.socket, code, entry.address)
    else if (!isTakenOver(entry)) entry.socket.destroy()
  }

  /**
   * Passes the event on to the other listeners, that of @fastify/websocket among them, and checks what they did with
   * it.
   */
  #dispatch (entry: PendingUpgrade, next: () => boolean): boolean {
    const { raw, socket } = entry
    // The socket is not kept alive after a refusal, and the header must say so: clients with a pool would send their
    // next request on a dead socket. `assignSocket` adds its listener when it has set the response and before any byte
    // is written.
    const onAssigned = (): void => {
      const response = responseOf(socket)
      if (response?.req !== raw) return
      response.shouldKeepAlive = false
      socket.off('newListener', onAssigned)
    }
    socket.on('newListener', onAssigned)
    this.#dispatched.push(entry)
    try {
      return next()
    } finally {
      socket.off('newListener', onAssigned)
      this.#keep(entry)
    }
  }

  /**
   * Keeps an upgrade that outlives its event. Most are over by then, and no event of a socket comes in the middle of a
   * turn.
   */
  #keep (entry: PendingUpgrade): void {
    const at = this.#dispatched.indexOf(entry)
    if (at === -1) return
    this.#dispatched.splice(at, 1)
    this.#pending.add(entry)
    this.#options.onPending?.(this.#pending.size, this.#countOf(entry), entry.address)
    const response = responseOf(entry.socket)
    if (response !== undefined) this.#watch(entry, response)
    // The listener of @fastify/websocket is gone, as it is when the app closes and its preClose hook runs before this
    // plugin's.
    else if (isUnanswered(entry)) this.#cut(entry, 'draining')
  }

  /** Watches the response to an upgrade: once it is written, the socket is of no use any more. */
  #watch (entry: PendingUpgrade, response: ServerResponse): void {
    const done = (): void => {
      this.#pending.delete(entry)
      this.#refused.dismiss(entry.socket)
    }
    entry.response = response
    if (response.writableFinished) {
      done()
      return
    }
    const { release } = entry
    entry.release = () => {
      release()
      response.off('finish', done)
    }
    response.once('finish', done)
  }
}
