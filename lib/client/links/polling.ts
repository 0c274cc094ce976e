import { refused } from '../errors.js'
import { byRequests, refusal, retryAfter } from './http.js'
import type { Frame, FrameData } from './link.js'

/**
 * Milliseconds that the server may hold a poll. They are halved after each poll that a less patient proxy ended, down
 * to `LEAST`.
 */
const WAIT = 25_000
const LEAST = 1_000

interface Answer extends FrameData { readonly cursor: string, readonly frames: readonly Frame[] }

export const polling = byRequests(async ({ http, rooms, first }, { frame, heard }, signal) => {
  let more = first
  let wait = WAIT
  let since = ''
  for (;;) {
    const response = await http(`?transport=polling${rooms}${more}`, { signal })
    const { status } = response
    if (status === 200) {
      const { cursor, frames, ...data } = await response.json() as Answer
      heard()
      frame({
        type: since ? 'rooms' : 'welcome',
        data: { ...data, heartbeat: WAIT, userId: decodeURIComponent(response.headers.get('x-user-id') ?? '') }
      })
      frames.forEach(frame)
      const after = retryAfter(response)
      if (after) return refused('draining', '', 'now', after)
      since = cursor
    } else if (status === 504 && since && wait > LEAST) {
      heard()
      wait /= 2
    } else return refusal(response)
    more = `&since=${since}&wait=${wait | 0}`
  }
})
