import { refused, type Refused } from '../failure.js'
import { refusal, retryAfter, uplink } from './http.js'
import type { Frame, FrameData, Open } from './link.js'

/** Milliseconds that the server may hold a poll. */
const WAIT = 25_000

interface Answer extends FrameData { readonly cursor: string, readonly frames: readonly Frame[] }

export const polling: Open = (dial, events) => {
  const { http, rooms, first } = dial
  const { frame, heard, closed } = events
  const stop = new AbortController()
  const run = async (): Promise<Refused> => {
    let more = first
    for (let type = 'welcome'; ; type = 'rooms') {
      const response = await http(`?transport=polling${rooms}${more}`, { signal: stop.signal })
      if (response.status !== 200) return await refusal(response)
      const { cursor, frames, ...data } = await response.json() as Answer
      heard()
      frame({ type, data: { ...data, heartbeat: WAIT } })
      frames.forEach(frame)
      const after = retryAfter(response)
      if (after) return refused('draining', 'the server is shutting down', 'now', after)
      more = `&since=${cursor}&wait=${WAIT}`
    }
  }
  run().then(closed, () => { closed() })
  return {
    send: uplink(dial, events),
    close () { stop.abort() }
  }
}
