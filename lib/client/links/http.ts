import { NOT_FOUND, refused, type Refused } from '../errors.js'
import type { Dial, Frame, FrameData, Link, LinkEvents, Open } from './link.js'

/** Milliseconds after which a POST that got no answer is sent again. */
const AGAIN = 1_000

/** Milliseconds of a `Retry-After` header; `undefined` without one, or when it is a date. */
export function retryAfter ({ headers }: Response): number | undefined {
  return Number(headers.get('retry-after')) * 1_000 || undefined
}

/** Why an HTTP answer is none: the server's own words, or as much as can be told from a proxy's. */
export async function refusal (response: Response): Promise<Refused> {
  const { status } = response
  return {
    ...status === 404
      ? NOT_FOUND
      : refused(
        'unavailable',
        `HTTP ${status}`,
        status === 204 ? 'never' : status === 401 ? 'refresh' : 'backoff',
        retryAfter(response)
      ),
    ...await response.json().catch(() => undefined) as FrameData
  }
}

/** A transport that reads answers until `run` says why it ends, and sends by POST. */
export function byRequests (run: (
  dial: Dial,
  events: LinkEvents,
  signal: AbortSignal
) => Promise<Refused | undefined>): Open {
  return (dial, events) => {
    const stop = new AbortController()
    run(dial, events, stop.signal).then(events.closed, () => { events.closed() })
    return {
      send: uplink(dial, events),
      close () { stop.abort() }
    }
  }
}

/** Frames by POST: each gets its answer, or an error frame when there was none, and is then to be sent again. */
function uplink ({ http, timeout }: Dial, { frame }: LinkEvents): Link['send'] {
  return (up) => {
    void (async () => {
      let data: Refused
      try {
        const response = await http('', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(up),
          signal: AbortSignal.timeout(timeout)
        })
        if (response.ok) return frame(await response.json() as Frame)
        data = await refusal(response)
      } catch (error) {
        data = refused('unavailable', String(error), 'backoff', AGAIN)
      }
      frame({ ...up as Frame, type: 'error', data })
    })()
  }
}
