import { createServer, type Server, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

/**
 * The broker of this example: a line that comes from one node goes to all of them, the sender included, in one order.
 * It keeps nothing.
 */
export function createRelay (): Server {
  const nodes = new Set<Socket>()
  return createServer((socket) => {
    nodes.add(socket)
    socket.on('error', () => { socket.destroy() })
    socket.on('close', () => { nodes.delete(socket) })
    createInterface(socket).on('line', (line) => { for (const node of nodes) node.write(`${line}\n`) })
  })
}
