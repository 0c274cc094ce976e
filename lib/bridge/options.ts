import { nameOf } from '../rooms/room-name.js'
import { unknownKey } from '../errors/explain.js'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import { callOptions, checkCount } from '../options/call-values.js'
import type { BridgedEvent, BridgeOptions } from './types.js'
import type { BroadcastOptions } from '../types/rooms.js'
import { pauseAfter } from './verdict.js'

const IN_FLIGHT = 100
const MOST_IN_FLIGHT = 10_000

/** Names of the options, and of what `map` makes. */
const SETTINGS = ['inFlight', 'commit', 'onRefused', 'backoff', 'signal']
const MADE = ['room', 'event', 'data', 'except', 'idempotencyKey']

/** What `map` made, with the room's name in place of its address. */
export interface Broadcast {
  readonly room: string
  readonly event: string
  readonly data: unknown
  readonly options: { readonly idempotencyKey: string, readonly except?: BroadcastOptions['except'] }
}

/** Options with their defaults. */
export interface BridgeSettings<T> {
  readonly inFlight: number
  readonly commit: NonNullable<BridgeOptions<T>['commit']>
  readonly onRefused: NonNullable<BridgeOptions<T>['onRefused']>
  readonly backoff: NonNullable<BridgeOptions<T>['backoff']>
  readonly signal: AbortSignal | undefined
}

/** @throws REALTIME_ERR_OPTIONS naming the option */
export function settingsOf<T> (options: BridgeOptions<T>): BridgeSettings<T> {
  callOptions(options as unknown ?? null, 'a bridge', SETTINGS)
  const { inFlight = IN_FLIGHT, commit, onRefused, backoff, signal } = options
  if (checkCount(inFlight, 'inFlight of a bridge') < 1 || inFlight > MOST_IN_FLIGHT) {
    throw new REALTIME_ERR_OPTIONS(`inFlight of a bridge is from 1 to ${MOST_IN_FLIGHT}, got ${inFlight}`)
  }
  for (const [name, hook] of Object.entries({ commit, onRefused, backoff })) {
    if (hook !== undefined && typeof hook !== 'function') {
      throw new REALTIME_ERR_OPTIONS(`${name} of a bridge is a function, got ${typeof hook}`)
    }
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new REALTIME_ERR_OPTIONS('signal of a bridge is an AbortSignal')
  }
  return {
    inFlight,
    signal,
    commit: commit ?? (() => undefined),
    onRefused: onRefused ?? ((_, error) => { throw error }),
    backoff: backoff ?? pauseAfter
  }
}

/**
 * Reads what `map` made of a record.
 *
 * @throws REALTIME_ERR_OPTIONS, or REALTIME_ERR_ROOM for what names no room
 */
export function broadcastOf (made: BridgedEvent): Broadcast {
  if (typeof made !== 'object' || made === null) {
    throw new REALTIME_ERR_OPTIONS(
      'map of a bridge makes { room, event, data, idempotencyKey }, or undefined to pass over'
    )
  }
  const strange = unknownKey(made, MADE, 'part of a bridged event')
  if (strange !== undefined) throw new REALTIME_ERR_OPTIONS(strange)
  const { room, event, data, idempotencyKey, except } = made
  if (typeof idempotencyKey !== 'string' || idempotencyKey === '') {
    throw new REALTIME_ERR_OPTIONS(
      'idempotencyKey of a bridged event is a text that names the record, for example its topic, partition and offset'
    )
  }
  return { room: nameOf(room), event, data, options: { idempotencyKey, except } }
}
