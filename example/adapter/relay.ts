import { createServer, type Server, type Socket } from 'node:net'
import { onLine } from './lines.js'

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
    onLine(socket, (line) => { for (const node of nodes) node.write(`${line}\n`) })
  })
}
