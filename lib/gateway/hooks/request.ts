import http from 'node:http'
import https from 'node:https'
import { after } from '../../structures/timers.js'

/** What a backend has answered. */
export interface Answer {
  readonly status: number
  readonly retryAfter: number | undefined
  readonly body: string
}

/** Why no answer came that can be read. */
export type Missing = 'timeout' | 'unreachable' | 'too_large'

/** A request without a usable answer. */
export class RequestError extends Error {
  readonly reason: Missing

  constructor (reason: Missing, message: string, cause?: unknown) {
    super(message, { cause })
    this.reason = reason
  }
}

/** Bytes of an answer that are read. */
const LARGEST = 1_048_576

/** Makes requests to one URL, with a bounded number of sockets that stay open. */
export class Requests {
  readonly #url: URL
  readonly #agent: http.Agent

  constructor (url: string, sockets: number) {
    this.#url = new URL(url)
    const options = { keepAlive: true, maxSockets: sockets, maxFreeSockets: sockets, timeout: 60_000 }
    this.#agent = this.#url.protocol === 'https:' ? new https.Agent(options) : new http.Agent(options)
  }

  close (): void { this.#agent.destroy() }

  /**
   * Posts JSON and reads the answer, redirects included as they are.
   *
   * @param timeout milliseconds until the whole answer has to be there
   * @throws RequestError
   */
  async post (headers: Readonly<Record<string, string>>, body: string, timeout: number): Promise<Answer> {
    const { request } = this.#url.protocol === 'https:' ? https : http
    return await new Promise((resolve, reject) => {
      const asked = request(this.#url, {
        method: 'POST',
        agent: this.#agent,
        headers: { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
      })
      const fail = (error: RequestError): void => {
        clearTimeout(timer)
        reject(error)
        asked.destroy()
      }
      const timer = after(() => { fail(new RequestError('timeout', `no answer within ${Math.round(timeout)} ms`)) }, timeout)
      asked.on('error', (error: NodeJS.ErrnoException) => {
        fail(new RequestError('unreachable', error.code ?? error.message, error))
      })
      asked.on('response', (response) => {
        const chunks: Buffer[] = []
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          if (bytes > LARGEST) fail(new RequestError('too_large', `the answer has more than ${LARGEST} bytes`))
          else chunks.push(chunk)
        })
        response.on('error', (error) => { fail(new RequestError('unreachable', 'the answer broke off', error)) })
        response.on('end', () => {
          clearTimeout(timer)
          resolve({
            status: response.statusCode!,
            retryAfter: waitOf(response.headers['retry-after']),
            body: Buffer.concat(chunks).toString('utf8')
          })
        })
      })
      asked.end(body)
    })
  }
}

/** The longest wait that a backend is given when it asks for one, in milliseconds. */
const LONGEST_WAIT = 60_000

/** Milliseconds of a `Retry-After` in seconds; a date is not obeyed. */
function waitOf (header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,9}$/.test(header) ? Math.min(LONGEST_WAIT, Number(header) * 1_000) : undefined
}
