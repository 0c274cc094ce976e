import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { Refusal } from '../errors/refusal.js'
import { httpError, secondsOf } from '../errors/http.js'
import { DeadlineQueue } from '../structures/deadline-queue.js'
import { declineForeignUpgrades, isForeignUpgrade, serveForeignUpgrade } from './foreign-upgrades.js'
import type { Code } from '../protocol/codes.js'
import { after } from '../structures/timers.js'

export interface UpgradeGuardOptions {
  /** how long an upgrade may stay neither completed nor refused */
  readonly deadline?: number | undefined
  /** upgrades under way at once, in total and from one address */
  readonly pending?: number | undefined
  readonly pendingPerAddress?: number | undefined
  /** whose an upgrade is; by default the other end of its socket */
  readonly addressOf?: ((raw: object) => string | undefined) | undefined
  /**
   * whether an address stands for many clients, so that only the total counts for it; asked when its limit is reached
   */
  readonly isShared?: ((address: string, peer: string | undefined) => boolean) | undefined
  /** how long a refused peer may keep its side open after our answer */
  readonly linger?: number | undefined
  /** how long `close` lets upgrades under way finish */
  readonly grace?: number | undefined
  /** counts what the guard itself refused: `server_full`, `address_limit`, `draining`, `timeout` */
  readonly onRefused?: ((code: Code, refusal: Refusal, address: string | undefined) => void) | undefined
}

export interface Upgrade { readonly socket: Duplex, readonly head: Buffer }

export interface UpgradeGuard {
  /** upgrades neither completed nor refused yet */
  readonly pending: number
  /**
   * What is needed to complete the upgrade of a raw request; `undefined` for a plain request, and once it is settled or
   * its socket is gone.
   */
  upgradeOf (raw: object): Upgrade | undefined
  /** The upgrade has completed: its socket belongs to the WebSocket from here on. */
  settle (raw: object): void
  /** Settles what another WebSocket server (the `websocketServer` of the app) completes. */
  follow (websocketServer: EventEmitter): void
  /** For preClose: refuses upgrades from here on, lets those under way finish for a moment and ends the rest. */
  close (): Promise<void>
  /** Leaves the server as it was found; happens by itself when the server has closed. */
  stop (): void
}

/** An upgrade from the server's event to its completion, its refusal or the end of its socket. */
interface Pending extends Upgrade {
  readonly raw: object
  readonly address: string | undefined
  /** `bytesWritten` at the start, absent on the streams of `injectWS` */
  readonly written: number | undefined
  /**
   * what @fastify/websocket assigned to the socket, or the answer to an earlier request on it that is still being
   * written
   */
  response: ServerResponse | undefined
  /** takes our listeners off */
  release: () => void
}

type Emit = EventEmitter['emit']

function responseOf (socket: Duplex): ServerResponse | undefined {
  // Node's own link from a socket to the response being written on it: there is no public one.
  return (socket as { _httpMessage?: ServerResponse | null })._httpMessage ?? undefined
}

function writtenTo (socket: Duplex): number | undefined {
  return (socket as { bytesWritten?: number }).bytesWritten
}

/**
 * Nothing of an answer has been written, by whomever, and the next thing to be written would be the answer to this
 * upgrade.
 */
function isUnanswered ({ raw, socket, written, response }: Pending): boolean {
  return (response === undefined || (response.req === raw && !response.headersSent)) && writtenTo(socket) === written
}

/** Somebody completed the upgrade without telling us. */
function isTakenOver ({ raw, socket, written, response }: Pending): boolean {
  return response?.req === raw && !response.headersSent && !socket.writableEnded && writtenTo(socket) !== written
}

function rawAnswer (refusal: Refusal): string {
  const content = httpError(refusal)
  const body = JSON.stringify(content)
  return [
    `HTTP/1.1 ${content.statusCode} ${content.error}`,
    'Connection: close',
    'Content-Type: application/json; charset=utf-8',
    'Cache-Control: no-store',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...(content.retryAfter === undefined ? [] : [`Retry-After: ${secondsOf(content.retryAfter)}`]),
    '',
    body
  ].join('\r\n')
}

/**
 * Owns every socket from the server's `upgrade` event until somebody has completed the upgrade. Node takes such a
 * socket out of all its timeouts and
 * @fastify/websocket ends it only on some of the refusal paths, so that any peer could make the server hold sockets for
 *   ever.
 */
export function createUpgradeGuard (server: EventEmitter, options: UpgradeGuardOptions = {}): UpgradeGuard {
  const {
    deadline = 10_000,
    pending = 1_000,
    pendingPerAddress = 64,
    addressOf,
    isShared,
    linger = 500,
    grace = 500,
    onRefused
  } =
    options
  /** those whose event is being handled: one, unless somebody emits another in between */
  const dispatched: Pending[] = []
  /** those that are still under way after their event */
  const upgrades = new WeakMap<object, Pending>()
  const perAddress = new Map<string, number>()
  const unfollow: Array<() => void> = [declineForeignUpgrades(server)]
  let closing: Promise<void> | undefined
  let drained: (() => void) | undefined
  let stopped = false

  const waiting = new DeadlineQueue<Pending>(deadline, (entry) => { cut(entry, 'timeout') })
  const leaving = new DeadlineQueue<Duplex>(linger, (socket) => { socket.destroy() })

  /** `undefined`: refused, and nobody else may see this upgrade. */
  function admit (raw: object, socket: Duplex, head: Buffer): Pending | undefined {
    const peer = (socket as { remoteAddress?: string }).remoteAddress
    const address = addressOf === undefined ? peer : addressOf(raw)
    const code = limitReached(address, peer)
    if (code === undefined) {
      return { raw, socket, head, address, written: writtenTo(socket), response: undefined, release: () => {} }
    }
    refuse(socket, code, address)
    return undefined
  }

  /**
   * An upgrade that outlives its event; most are over by then, and sockets say nothing of themselves in the middle of a
   * turn.
   */
  function keep (entry: Pending): void {
    const { raw, socket, address } = entry
    const onError = (): void => { socket.destroy() }
    const onClose = (): void => { forget(entry) }
    // A peer that has ended its side cannot become a WebSocket any more; without this it would hold its place until the
    // hooks are done.
    const onEnd = (): void => { if (isUnanswered(entry)) socket.destroy() }
    socket.on('error', onError)
    socket.once('close', onClose)
    socket.once('end', onEnd)
    entry.release = () => {
      socket.off('error', onError)
      socket.off('close', onClose)
      socket.off('end', onEnd)
    }
    upgrades.set(raw, entry)
    waiting.add(entry)
    if (address !== undefined) perAddress.set(address, (perAddress.get(address) ?? 0) + 1)
  }

  function limitReached (address: string | undefined, peer: string | undefined): Code | undefined {
    if (closing !== undefined) return 'draining'
    if (waiting.size >= pending) return 'server_full'
    if (address !== undefined && (perAddress.get(address) ?? 0) >= pendingPerAddress &&
      isShared?.(address, peer) !== true) {
      return 'address_limit'
    }
    return undefined
  }

  function forget (entry: Pending): void {
    entry.release()
    if (upgrades.get(entry.raw) === entry) upgrades.delete(entry.raw)
    waiting.delete(entry)
    if (entry.address !== undefined) {
      const left = (perAddress.get(entry.address) ?? 1) - 1
      if (left === 0) perAddress.delete(entry.address)
      else perAddress.set(entry.address, left)
    }
    if (waiting.size === 0) drained?.()
  }

  function refuse (socket: Duplex, code: Code, address: string | undefined): void {
    // Peers refused together must not come back together.
    const retryAfter = code === 'server_full' || code === 'address_limit' ? 1_000 + Math.random() * 2_000 : undefined
    const why = code === 'server_full'
      ? { limit: 'limits.pending.total', value: pending }
      : code === 'address_limit' ? { limit: 'limits.pending.address', value: pendingPerAddress } : undefined
    const refusal = new Refusal(code, { retryAfter, why })
    onRefused?.(code, refusal, address)
    dismiss(socket, rawAnswer(refusal))
  }

  /**
   * Ends our side and reads the other to its end: destroyed at once, unread bytes of the peer would make the kernel
   * reset our answer away.
   */
  function dismiss (socket: Duplex, last?: string): void {
    if (socket.destroyed) return
    socket.on('error', () => { socket.destroy() })
    if (last === undefined) socket.end()
    else socket.end(last)
    // These sockets count against no limit, so they are as many as a limit allows or not kept at all.
    if (leaving.size >= pending) {
      socket.destroy()
      return
    }
    leaving.add(socket)
    socket.once('close', () => { leaving.delete(socket) })
    socket.resume()
  }

  /** Time is up for an upgrade that is neither completed nor refused. */
  function cut (entry: Pending, code: Code): void {
    forget(entry)
    if (entry.socket.destroyed) return
    if (isUnanswered(entry)) refuse(entry.socket, code, entry.address)
    else if (!isTakenOver(entry)) entry.socket.destroy()
  }

  /** Once the response to an upgrade is written, nobody has a use for the socket. */
  function watch (entry: Pending, response: ServerResponse): void {
    const done = (): void => {
      forget(entry)
      dismiss(entry.socket)
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

  /** Hands the event on to the other listeners, @fastify/websocket's among them, and looks at what they made of it. */
  function dispatch (entry: Pending, next: () => boolean): boolean {
    const { raw, socket } = entry
    // The socket is not kept alive after a refusal, and the header must say so: clients with a pool would send their
    // next request into the void. `assignSocket` adds its listener when it has set the response and before anything is
    // written.
    const onAssigned = (): void => {
      const response = responseOf(socket)
      if (response?.req !== raw) return
      response.shouldKeepAlive = false
      socket.off('newListener', onAssigned)
    }
    socket.on('newListener', onAssigned)
    dispatched.push(entry)
    try {
      return next()
    } finally {
      socket.off('newListener', onAssigned)
      const at = dispatched.indexOf(entry)
      if (at !== -1) {
        dispatched.splice(at, 1)
        keep(entry)
        const response = responseOf(socket)
        if (response !== undefined) watch(entry, response)
        // @fastify/websocket has stopped listening, as it does when the app closes and its preClose hook comes before
        // ours
        else if (isUnanswered(entry)) cut(entry, 'draining')
      }
    }
  }

  // A listener, however early, cannot keep an upgrade from those after it: one over the limit would still run through
  // all hooks of the app.
  const owned = Object.hasOwn(server, 'emit')
  const emit: Emit = server.emit
  // Tracing wraps the one that all servers share, maybe later than now.
  const others = (): Emit => owned ? emit : (Object.getPrototypeOf(server) as EventEmitter).emit
  const guarded: Emit = function (this: EventEmitter, event, ...args) {
    if (event !== 'upgrade') return Reflect.apply(others(), this, [event, ...args]) as boolean
    // The servers that Fastify adds for further addresses of `localhost` hold on to this function, so it refuses even
    // when stopped.
    const [raw, socket, head] = args as [IncomingMessage, Duplex, Buffer]
    if (isForeignUpgrade(raw)) {
      serveForeignUpgrade(this, raw, socket, head)
      return true
    }
    const entry = admit(raw, socket, head)
    return entry === undefined || dispatch(entry, () => Reflect.apply(others(), this, [event, ...args]) as boolean)
  }

  // Without any listener, and @fastify/websocket's goes before the server closes, Node would answer upgrades as plain
  // requests.
  const listen = (): void => {}

  function settle (raw: object): void {
    const at = dispatched.findIndex((entry) => entry.raw === raw)
    if (at !== -1) {
      dispatched.splice(at, 1)
      return
    }
    const entry = upgrades.get(raw)
    if (entry !== undefined) forget(entry)
  }

  function close (): Promise<void> {
    closing ??= new Promise((resolve) => {
      if (waiting.size === 0) {
        resolve()
        return
      }
      const timer = after(() => {
        for (const entry of waiting.items()) cut(entry, 'draining')
      }, grace)
      drained = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    return closing
  }

  function stop (): void {
    if (stopped) return
    stopped = true
    void close()
    for (const entry of waiting.items()) {
      forget(entry)
      entry.socket.destroy()
    }
    for (const socket of leaving.items()) {
      leaving.delete(socket)
      socket.destroy()
    }
    waiting.stop()
    leaving.stop()
    server.off('upgrade', listen)
    server.off('close', stop)
    for (const off of unfollow.splice(0)) off()
    // Somebody who wrapped `emit` after us keeps our function, which does no harm.
    if (server.emit !== guarded) return
    if (owned) server.emit = emit
    else delete (server as { emit?: Emit }).emit
  }

  server.emit = guarded
  server.prependListener('upgrade', listen)
  server.once('close', stop)

  return {
    get pending () { return waiting.size },
    upgradeOf: (raw) => dispatched.find((entry) => entry.raw === raw) ?? upgrades.get(raw),
    settle,
    follow (websocketServer) {
      const onConnection = (_socket: unknown, raw: object): void => { settle(raw) }
      websocketServer.on('connection', onConnection)
      unfollow.push(() => { websocketServer.off('connection', onConnection) })
    },
    close,
    stop
  }
}
