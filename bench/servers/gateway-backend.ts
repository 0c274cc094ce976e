import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'

/** The key by which the backend publishes. */
export const KEY = 'a key of the benchmark for its own backend'.replaceAll(' ', '-')

interface Asked { readonly data: { readonly room: string, readonly data: object } }

const agent = new Agent({ keepAlive: true, maxSockets: 64 })

/** Publishes an event through the gateway; resolves when it has taken it. */
async function publish (port: number, event: object): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const headers = { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }
    request({ port, method: 'POST', path: '/ws/api/publish', agent, headers }, (answer) => {
      answer.resume().on('end', resolve).on('error', reject)
    }).on('error', reject).end(JSON.stringify(event))
  })
}

/** A backend that does nothing but publish what it is asked. */
function serve (say: (port: number) => void): void {
  let gateway = 0
  process.on('message', (port: number) => { gateway = port })
  process.on('disconnect', () => { process.exit() })
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => { chunks.push(chunk) })
    request.on('end', () => {
      const { data: { room, data } } = JSON.parse(Buffer.concat(chunks).toString()) as Asked
      publish(gateway, { room, event: 'said', data }).then(() => response.writeHead(204).end(), () => response.writeHead(503).end())
    })
  }).listen(0, '127.0.0.1', () => { say((server.address() as AddressInfo).port) })
}

if (process.argv[1]?.endsWith('gateway-backend.js') === true) serve((port) => { process.send!(port) })
