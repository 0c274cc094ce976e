import { connect, type Socket } from 'node:net'
import { connect as connectSecurely } from 'node:tls'

export interface DialOptions {
  readonly port: number
  /** one of the addresses of this machine, so that ports do not run out */
  readonly from: string | undefined
  readonly isSecure?: boolean
}

/** All sockets without TLS read into one buffer: what is in it is used up before the next read. */
const BUFFER = Buffer.alloc(256 * 1024)

/**
 * Connects to the server under test.
 *
 * @param read takes what has arrived: so many bytes at the beginning of the buffer, which is not kept
 */
export function dial ({ port, from, isSecure }: DialOptions, read: (bytes: Buffer, size: number) => void): Socket {
  const to = { host: '127.0.0.1', port, ...(from === undefined ? {} : { localAddress: from }) }
  if (isSecure === true) {
    const socket = connectSecurely({ ...to, rejectUnauthorized: false })
    socket.setNoDelay(true)
    socket.on('data', (bytes: Buffer) => { read(bytes, bytes.length) })
    return socket
  }
  return connect({
    ...to,
    noDelay: true,
    onread: {
      buffer: BUFFER,
      callback: (size: number): boolean => {
        read(BUFFER, size)
        return true
      }
    }
  })
}
