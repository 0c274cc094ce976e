import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** A socket of HTTP/1, or a session of HTTP/2. That of `inject` may have no limit to set. */
type Limited = Partial<Pick<Socket, 'timeout' | 'setTimeout'>>

/** With HTTP/2 a request has its own stream. */
interface Streamed { readonly stream?: { readonly session?: Limited } }

export interface Lifted {
  readonly limited: Limited
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

  /** @returns what is to be released when the request is over; nothing where there is no limit */
  lift (request: IncomingMessage): Lifted | undefined {
    const limited: Limited | undefined = request.httpVersionMajor === 1
      ? request.socket
      : (request as Streamed).stream?.session
    if (limited?.setTimeout === undefined) return undefined
    const lifted = this.#lifted.get(limited) ?? { limited, requests: 0, limit: limited.timeout ?? 0 }
    this.#lifted.set(limited, lifted)
    lifted.requests++
    limited.setTimeout(0)
    return lifted
  }

  /** Sets the limit again, once no other request waits there. */
  release (lifted: Lifted): void {
    const { limited, limit } = lifted
    if (--lifted.requests > 0) return
    this.#lifted.delete(limited)
    // On a socket that is kept alive, Node has set the limit for the next request by now.
    if (limited.timeout === 0) limited.setTimeout?.(limit)
  }
}
