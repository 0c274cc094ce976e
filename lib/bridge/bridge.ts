import type { AnyAddress, EventName } from '../contract/types.js'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import type { Awaitable } from '../structures/awaitable.js'
import { settingsOf } from './options.js'
import { BridgeRun } from './run.js'
import type { Bridge, BridgedEvent, BridgeOptions, BridgeStats, BridgeTarget } from './types.js'

const NOTHING: BridgeStats =
  { read: 0, accepted: 0, passedOver: 0, refused: 0, retried: 0, committed: 0, inFlight: 0 }

/**
 * Broadcasts the records of a source: a Kafka consumer, a change stream, a table of outgoing events. Each record takes
 * effect once: it is committed behind its broadcast, and one that is read again is broadcast under the same key. The
 * records of a room are broadcast in the order of the source, one after the other; those of different rooms do not wait
 * for each other.
 *
 * A broadcast that fails for a time (`unavailable`, `rate_limited`, `draining`, `timeout`, or with an outcome that
 * nobody knows) is tried again under its key until it is decided. Any other failure refuses the record, see
 * `onRefused`. One that says that nothing can be broadcast any more (`REALTIME_ERR_NOT_READY`, before the app is ready
 * or after it has closed) ends the bridge, and loses no record.
 *
 * @param rooms `app.rooms`, or a publisher of `createPublisher`
 * @param source read one record at a time, and only while fewer than `inFlight` are not committed; its end ends the
 *   bridge when all of them are
 * @param map makes a broadcast of a record, or `undefined` to pass it over; called for one record after the other. One
 *   that throws refuses its record
 * @returns a promise of what was done when it ends, with `stats` of what was done so far. It rejects with
 *   REALTIME_ERR_OPTIONS for wrong arguments, and with the error of the source, of `commit` or of `onRefused`; records
 *   that are not committed by then are read again by the next bridge
 */
export function bridge<T, R extends string | AnyAddress, K extends EventName<R>> (
  rooms: BridgeTarget,
  source: AsyncIterable<T> | Iterable<T>,
  map: (record: T) => Awaitable<BridgedEvent<R, K> | undefined>,
  options: BridgeOptions<T> = {}
): Bridge {
  let run: BridgeRun<T> | undefined
  const start = async (): Promise<BridgeStats> => {
    checkArguments(rooms, source, map)
    // The types of the event are those of its address: nothing of them exists at run time.
    const untyped = map as unknown as (record: T) => Awaitable<BridgedEvent | undefined>
    run = new BridgeRun({ ...settingsOf(options), target: rooms, source, map: untyped })
    return await run.run()
  }
  return Object.defineProperty(start(), 'stats', { get: () => run?.stats ?? NOTHING }) as Bridge
}

/** @throws REALTIME_ERR_OPTIONS */
function checkArguments (rooms: unknown, source: unknown, map: unknown): void {
  if (typeof (rooms as Partial<BridgeTarget> | null | undefined)?.broadcast !== 'function') {
    throw new REALTIME_ERR_OPTIONS('a bridge leads to app.rooms, or to a publisher of createPublisher')
  }
  if (typeof source !== 'object' || source === null || !(Symbol.asyncIterator in source || Symbol.iterator in source)) {
    throw new REALTIME_ERR_OPTIONS('the source of a bridge is an AsyncIterable, such as a stream or an async generator')
  }
  if (typeof map !== 'function') {
    throw new REALTIME_ERR_OPTIONS('map of a bridge is a function that makes { room, event, data, idempotencyKey }')
  }
}
