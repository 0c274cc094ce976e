import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** A socket of HTTP/1, or a session of HTTP/2. That of `inject` may have no limit to set. */
type Limited = Partial<Pick<Socket, 'timeout' | 'setTimeout'>>

/** With HTTP/2 a request has its own stream. */
interface Streamed { readonly stream?: { readonly session?: Limited } }

interface Lifted {
  /** Requests that are under way on it. */
  requests: number
  readonly limit: number
}

/**
 * Lifts the server's limit for idle sockets and sessions while requests wait on them. Nothing else would set it again
 * on a session of HTTP/2, which many requests share and which is held for as long as its peer seems to be there.
 */
export class IdleLimits {
  readonly #lifted = new WeakMap<Limited, Lifted>()

  /** @returns what sets the limit again, once no other request waits there; to be called when the request is over */
  lift (request: IncomingMessage): () => void {
    const limited: Limited | undefined = request.httpVersionMajor === 1
      ? request.socket
      : (request as Streamed).stream?.session
    if (limited?.setTimeout === undefined) return () => undefined
    const lifted = this.#lifted.get(limited) ?? { requests: 0, limit: limited.timeout ?? 0 }
    this.#lifted.set(limited, lifted)
    lifted.requests++
    limited.setTimeout(0)
    return () => {
      if (--lifted.requests > 0) return
      this.#lifted.delete(limited)
      // On a socket that is kept alive, Node has set the limit for the next request by now.
      if (limited.timeout === 0) limited.setTimeout?.(lifted.limit)
    }
  }
}
