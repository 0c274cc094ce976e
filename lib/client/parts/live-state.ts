import { setNewest } from '../newest.js'
import type { FrameData } from '../links/link.js'
import { now } from '../timers.js'
import { eachRoom } from './each-room.js'

/** Values of one event that are kept, the oldest of them given up first; the server keeps no more. */
const VALUES = 1_000

/** The newest values of `latest` events: `room.state` and the event `removed`, which are empty and mute without it. */
export const liveState = eachRoom((room) => {
  const state = room.state as Map<string, Map<string, unknown>>
  const { enter, gap, out, frame } = room
  /** What the server says of these events. */
  let kept: FrameData['latest']
  /** Time by `now()` at which the link was lost; 0 while it is there. */
  let outAt = 0

  const remove = (event: string, ...keys: readonly string[]): void => {
    for (const key of keys) if (state.get(event)?.delete(key)) room.emit({ event, key }, 'removed')
  }
  /** What the server still keeps comes again. */
  const clear = (): void => { state.forEach((values, event) => { remove(event, ...values.keys()) }) }

  room.gap = (isWhole) => {
    if (isWhole) clear()
    gap()
  }
  room.enter = (entered) => {
    if (outAt && kept && now() - outAt > kept.ttl) clear()
    outAt = 0
    kept = entered.latest ?? kept
    for (const event in kept?.keys) if (!state.has(event)) state.set(event, new Map())
    enter(entered)
  }
  room.out = () => {
    outAt ||= now()
    out()
  }
  room.frame = (each) => {
    const { type, data } = each
    if (type === 'removed') {
      const { event, key } = data as Required<FrameData>
      remove(event, key)
    } else {
      const values = state.get(type)
      if (values) setNewest(values, `${(data as Record<string, unknown>)[kept!.keys[type]!]}`, data, VALUES)
      return frame(each)
    }
  }
})
