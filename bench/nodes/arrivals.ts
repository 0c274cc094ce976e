import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** Where the load generator says that events of this node have arrived: a byte for each. @returns the port */
export async function listenForArrivals (arrived: (events: number) => void): Promise<number> {
  const server = createServer((socket) => { socket.on('data', ({ length }) => { arrived(length) }) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** The load generator's end: what arrives in one turn of the event loop is told in one write. */
export class ArrivalTeller {
  readonly #socket: Socket
  #count = 0

  constructor (port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
  }

  tell (): void {
    if (this.#count++ > 0) return
    setImmediate(() => {
      this.#socket.write(Buffer.alloc(this.#count))
      this.#count = 0
    })
  }
}
