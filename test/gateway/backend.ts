import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Test } from 'tap'
import { signedHeaders } from '../../lib/gateway/hooks/signature.js'
import { until } from '../helpers/servers.js'

export const KEY = Buffer.alloc(32, 7)
export const WHSEC = `${'whsec_'}${KEY.toString('base64')}`

export interface Asked {
  readonly type: string
  readonly data: Readonly<Record<string, unknown>>
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A status with a body, or what a server does that answers nothing. */
export type Behaviour = (asked: Asked, response: ServerResponse) => { status: number, body?: unknown, headers?: Record<string, string> } | 'hang' | 'cut'

/** An application behind a gateway, which behaves as a test says. */
export class FakeBackend {
  readonly asked: Asked[] = []
  behave: Behaviour = ({ type }) => ({ status: 200, body: type === 'authorize' ? { allow: true } : {} })
  port = 0
  #server: Server | undefined
  readonly #sockets = new Set<Socket>()

  get url (): string { return `http://127.0.0.1:${this.port}/hooks` }

  async start (): Promise<void> {
    const server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk) => { body += String(chunk) })
      request.on('end', () => {
        const { type, data } = JSON.parse(body) as Pick<Asked, 'type' | 'data'>
        const asked = { type, data, headers: request.headers, body }
        this.asked.push(asked)
        const answer = this.behave(asked, response)
        if (answer === 'hang') return
        if (answer === 'cut') return response.socket!.destroy()
        const text = typeof answer.body === 'string' ? answer.body : answer.body === undefined ? '' : JSON.stringify(answer.body)
        response.writeHead(answer.status, answer.headers).end(text)
      })
    })
    server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => { this.#sockets.delete(socket) })
    })
    server.listen(this.port, '127.0.0.1')
    await once(server, 'listening')
    this.port = (server.address() as AddressInfo).port
    this.#server = server
  }

  async stop (): Promise<void> {
    if (this.#server === undefined) return
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
    this.#server = undefined
  }

  of (type: string): Asked[] { return this.asked.filter((each) => each.type === type) }

  /** Waits until it was asked so often. */
  async heard (type: string, count = 1): Promise<Asked[]> {
    await until(`the backend hears ${type} ${count} times; it heard ${this.asked.map((each) => each.type).join(', ')}`, () => this.of(type).length >= count)
    return this.of(type)
  }
}

export async function startBackend (t: Test): Promise<FakeBackend> {
  const backend = new FakeBackend()
  await backend.start()
  t.teardown(async () => { await backend.stop() })
  return backend
}

/** Whether a request was signed with the key. */
export function isSigned ({ headers, body }: Asked): boolean {
  const id = String(headers['webhook-id'])
  const seconds = Number(headers['webhook-timestamp'])
  return headers['webhook-signature'] === signedHeaders(id, seconds, body, [KEY])['webhook-signature']
}
