import { broken, NOT_FOUND, refused, type Refused } from '../errors.js'
import type { Dial, Frame, Link, LinkEvents, Open } from './link.js'

/** Milliseconds of a `Retry-After` header; `undefined` when there is none, or when it says nothing to wait for. */
export function retryAfter ({ headers }: Response): number | undefined {
  return Math.max(0, headers.get('retry-after') as unknown as number * 1_000) || undefined
}

/**
 * Tells the reason of an HTTP answer that is no success: the server's own words, or what the status of a proxy shows.
 */
export async function refusal (response: Response): Promise<Refused> {
  const { status } = response
  const body = await response.json().catch(() => {}) as Refused | undefined
  return {
    ...refused(
      // By these an intermediary refuses what was sent, and would do so again.
      status === 413 ? 'message_too_large' : status === 403 ? 'forbidden' : 'unavailable',
      `HTTP ${status}`,
      status === 204 ? 'never' : status === 401 ? 'refresh' : 'backoff',
      retryAfter(response)
    ),
    ...status === 404 && NOT_FOUND,
    // A limiter or a proxy may answer with JSON of its own.
    ...body?.retry && body
  }
}

/** Makes a transport that reads answers until `run` says why it ends, and that sends by POST. */
export function byRequests (run: (
  dial: Dial,
  events: LinkEvents,
  signal: AbortSignal
) => Promise<Refused | undefined>): Open {
  return (dial, events) => {
    const stop = new AbortController()
    run(dial, events, stop.signal).catch(() => {}).then(events.closed as (reason: unknown) => void)
    return {
      send: uplink(dial, events),
      close () { stop.abort() }
    }
  }
}

/**
 * Sends frames by POST. Each gets its answer; where there is none, it gets an error frame that asks for another
 * attempt.
 */
function uplink ({ http }: Dial, { frame }: LinkEvents): Link['send'] {
  return (up) => {
    // What is no JSON is thrown to whoever sends it, as over a WebSocket.
    const body = JSON.stringify(up)
    const asked = http('', { method: 'POST', body, headers: { 'content-type': 'application/json' } })
    void asked.then(async (response) => response.ok ? frame(await response.json() as Frame) : refusal(response))
      .catch(broken)
      .then((data) => { if (data) frame({ ...up as Frame, type: 'error', data }) })
  }
}
