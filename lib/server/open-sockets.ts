import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Http2Session } from 'node:http2'
import { Sweeper } from '../structures/sweeper.js'
import { every } from '../structures/timers.js'

/** Number of sockets from which on those that are gone are forgotten. */
const LEAST = 64
/** Milliseconds between two looks for sockets that are gone, and sockets that one turn of the event loop looks at. */
const FORGET = 30_000
const AT_ONCE = 1_000
/** Milliseconds between two checks for sockets that have become idle, while the server closes. */
const LOOK = 50

export interface OpenSockets {
  /** Ends every socket without a request under way, now and from now on. */
  close (): void
  /** Stops following sockets. */
  stop (): void
}

/**
 * What Node keeps on a socket of its HTTP server: the parser, until an upgrade takes the socket over, and the answer
 * that is being written.
 */
interface Parsed { readonly parser?: object | null, readonly _httpMessage?: object | null }

/**
 * Follows connections from which no request will come: opened in advance as browsers and fetch do, left in the middle
 * of a header, or kept alive after an answer. `server.close()` takes the first two for busy, checks the last only once,
 * and waits for all of them a minute and more; for an HTTP/2 session it waits as long as its client likes.
 *
 * @param forget milliseconds after which sockets that are gone are forgotten, also where no new ones come: each keeps
 * what listens to it
 */
export function followOpenSockets (server: Server, forget = FORGET): OpenSockets {
  // A socket whose upgrade is nobody's is told of once more for each such request.
  const sockets = new Set<Socket>()
  let most = LEAST
  let isClosing = false
  let looking: NodeJS.Timeout | undefined
  const sessions = new Set<Http2Session>()
  const isFollowed = (socket: Socket): boolean => !socket.destroyed &&
    (socket.bytesRead === 0 || (socket as Parsed).parser != null)
  const isIdle = (socket: Socket): boolean => isFollowed(socket) && (socket as Parsed)._httpMessage == null
  // The bound is a quarter more than the live sockets, so that a peak of new ones needs no check each time.
  const bound = (): void => { most = Math.max(LEAST, Math.ceil(sockets.size * 1.25)) }
  const onConnection = (socket: Socket): void => {
    if (isClosing) {
      setImmediate(() => { if (isIdle(socket)) socket.destroy() })
      return
    }
    sockets.add(socket)
    if (sockets.size < most) return
    for (const each of sockets) if (!isFollowed(each)) sockets.delete(each)
    bound()
  }
  let unseen: Iterator<Socket> | undefined
  const forgetting = new Sweeper(() => {
    unseen ??= sockets.values()
    for (let looked = 0; looked < AT_ONCE; looked++) {
      const { done, value } = unseen.next()
      if (done === true) {
        unseen = undefined
        bound()
        return false
      }
      if (!isFollowed(value)) sockets.delete(value)
    }
    return true
  }, forget)
  forgetting.start()
  const onSession = (session: Http2Session): void => {
    sessions.add(session)
    session.once('close', () => { sessions.delete(session) })
    if (isClosing) session.close()
  }
  // Over TLS the first event has the socket below, the second the one from which requests come.
  const kinds = ['connection', 'secureConnection'] as const
  for (const kind of kinds) server.on(kind, onConnection)
  server.on('session', onSession)
  const closed = (): void => {
    clearInterval(looking)
    forgetting.stop()
  }
  server.once('close', closed)
  return {
    close () {
      if (isClosing) return
      isClosing = true
      for (const socket of sockets) if (isIdle(socket)) socket.destroy()
      sockets.clear()
      for (const session of sessions) session.close()
      // HTTP/2 servers do not have it.
      if (typeof server.closeIdleConnections === 'function') {
        looking = every(() => { server.closeIdleConnections() }, LOOK)
      }
    },
    stop () {
      closed()
      server.off('close', closed)
      for (const kind of kinds) server.off(kind, onConnection)
      server.off('session', onSession)
    }
  }
}
