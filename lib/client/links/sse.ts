import { sseParser } from '../sse-parser.js'
import { byRequests, refusal } from './http.js'
import type { Frame } from './link.js'

/**
 * Reads the stream by fetch, because the platform's EventSource sends no header, reconnects without jitter, and stops
 * for good at 401, 429 and 503.
 */
export const sse = byRequests(async ({ http, rooms, first }, { frame, heard }, signal) => {
  const response = await http(`?transport=sse&events=unnamed${rooms}${first}`, { signal })
  if (response.status !== 200) return await refusal(response)
  const parse = sseParser((data) => { frame(JSON.parse(data) as Frame) })
  const decoder = new TextDecoder()
  const reader = response.body!.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    heard()
    parse(decoder.decode(value as Uint8Array, { stream: true }))
  }
})
