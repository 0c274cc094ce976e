import type { Refused } from '../failure.js'
import { sseParser } from '../sse-parser.js'
import { byRequests, refusal } from './http.js'
import type { Frame } from './link.js'

/** By fetch: the platform's EventSource sends no header, comes back without jitter, and stops for good at 401, 429 and 503. */
export const sse = byRequests(async ({ http, rooms, first }, { frame, heard }, signal) => {
  const response = await http(`?transport=sse${rooms}${first}`, { headers: { accept: 'text/event-stream' }, signal })
  if (response.status !== 200) return await refusal(response)
  // A stream has no close code: an error of the connection as a whole says why it ends.
  let last: Refused | undefined
  const parse = sseParser((data) => {
    const down = JSON.parse(data) as Frame
    if (down.type === 'error' && !down.room) last = down.data as Refused
    else frame(down)
  })
  const decoder = new TextDecoder()
  const reader = response.body!.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return last
    heard()
    parse(decoder.decode(value as Uint8Array, { stream: true }))
  }
})
