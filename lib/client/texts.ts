import type { AnyMessages, GrowingName, GrowingText } from '../contract/types.js'
import { failure, refused } from './errors.js'
import { handleOf } from './handle.js'
import type { CoreRoom } from './types.js'

export { growingTexts } from './growing-texts.js'

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
  if (!texts) throw failure(refused('REALTIME_ERR_OPTIONS', 'connect(url, { texts: growingTexts }) puts texts together'))
  return texts.parts(event, `${key}`, handle.on, handle) as AsyncIterable<GrowingText<E[K]>>
}
