import type { AnyMessages, GrowingName, GrowingText } from '../contract/types.js'
import { backoff } from './backoff.js'
import { failure, refused } from './errors.js'
import { createGrowingTexts, NAMED, type Failed } from './growing-texts.js'
import { handleOf } from './handle.js'
import type { Part } from './part.js'
import { eachRoom } from './parts/each-room.js'
import type { CoreRoom } from './types.js'

/**
 * Characters in which a query names texts: of each room the newest, until they fit. So the URL of 32 rooms stays below
 * the 8 kB that proxies take. What is not named is sent whole.
 */
const MOST = 3_500

/** Puts the texts of `append` events together. Without it their parts are heard as they come. */
export const growingTexts: Part = (core) => {
  const { whereOf } = core
  eachRoom((room, host) => {
    const read = (data: object, failed: Failed): void => {
      host.ask('read', room.name, data, (refusal) => {
        const { retry, retryAfter = backoff(0) } = refusal?.data ?? {}
        if (retry && retry !== 'never') return core.line.after(data, retryAfter, () => { read(data, failed) })
        const lost = failed()
        // The end of the link has no reason: the text comes again with the room.
        if (retry) {
          room.frame(lost)
          room.gap()
        }
      })
    }
    const texts = room.texts = createGrowingTexts(read)
    const { frame } = room
    room.frame = (each) => {
      if (each.from === undefined) return frame(each)
      for (const event of texts.frame(each)) room.emit(event, each.type, '*')
    }
  })(core)
  core.whereOf = (asked, most = NAMED) => {
    const known = asked.map(({ texts }, index) => [index, texts!.known(most)] as const).filter(([, texts]) => texts)
    const query = known.length ? `&known=${encodeURIComponent(JSON.stringify(known))}` : ''
    return query.length > MOST ? core.whereOf(asked, most - 1) : whereOf(asked) + query
  }
}

/**
 * The parts of a text of an `append` event, from its beginning on, for as long as it grows. The loop ends with the
 * text, and throws where that ended with an error, was lost (`lost`), or the room is over.
 *
 * @throws an error of code `REALTIME_ERR_OPTIONS` where the client was not given `growingTexts`
 */
export function partsOf<M extends AnyMessages, E, D, K extends GrowingName<E>> (
  room: CoreRoom<M, E, D>,
  event: K,
  key: string | number
): AsyncIterable<GrowingText<E[K]>> {
  const handle = handleOf(room)
  const { texts } = handle.room
  if (!texts) throw failure(refused('REALTIME_ERR_OPTIONS', 'connect with { use: [growingTexts] }'))
  return texts.parts(event, `${key}`, handle.on, handle) as AsyncIterable<GrowingText<E[K]>>
}
