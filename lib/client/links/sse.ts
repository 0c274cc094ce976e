import { PATIENCE, sseParser } from '../sse-parser.js'
import { now } from '../timers.js'
import { byRequests, refusal } from './http.js'
import type { Frame } from './link.js'

/**
 * Reads the stream by fetch, because the platform's EventSource sends no header, reconnects without jitter, and stops
 * for good at 401, 429 and 503.
 */
export const sse = byRequests(async ({ http, rooms, first }, { frame, heard }, signal) => {
  const response = await http(`?transport=sse&events=unnamed${rooms}${first}`, { signal })
  if (response.status !== 200) return refusal(response)
  let least = Infinity
  const parse = sseParser((data) => {
    const up = JSON.parse(data) as Frame & { at: number }
    // A frame has no such time. A mark that is later than the quickest one is handed on, so that it is answered like a
    // ping of the server.
    const took = now() - up.at
    if (took < least + PATIENCE) least = Math.min(least, took)
    else {
      // The next one is late where it is later still: the two clocks may go apart.
      least = took || least
      frame(up)
    }
  })
  const decoder = new TextDecoder()
  const reader = response.body!.getReader()
  for (;;) {
    const { value } = await reader.read()
    if (!value) return
    heard()
    parse(decoder.decode(value as Uint8Array, { stream: true }))
  }
})
