import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** Sockets looked at before those that have spoken are forgotten. */
const LEAST = 64

export interface SilentSockets {
  /** Ends the sockets that never said a word, now and from now on. */
  close (): void
  /** Nothing is followed any more. */
  stop (): void
}

/**
 * Connections on which nothing was ever sent, as browsers and fetch open them in advance: `server.close()` takes them for busy and
 * waits for them as long as for a request that may still come, a minute and more.
 */
export function followSilentSockets (server: Server): SilentSockets {
  let sockets: Socket[] = []
  let most = LEAST
  let isClosing = false
  const isSilent = ({ bytesRead, destroyed }: Socket): boolean => bytesRead === 0 && !destroyed
  const onConnection = (socket: Socket): void => {
    if (isClosing) {
      setImmediate(() => { if (isSilent(socket)) socket.destroy() })
      return
    }
    sockets.push(socket)
    if (sockets.length < most) return
    sockets = sockets.filter(isSilent)
    most = Math.max(LEAST, sockets.length * 2)
  }
  // Over TLS the first is the socket below, the second is what requests come from.
  const kinds = ['connection', 'secureConnection'] as const
  for (const kind of kinds) server.on(kind, onConnection)
  return {
    close () {
      isClosing = true
      for (const socket of sockets) if (isSilent(socket)) socket.destroy()
      sockets = []
    },
    stop () { for (const kind of kinds) server.off(kind, onConnection) }
  }
}
