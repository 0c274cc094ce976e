import type { Adapter, Publication } from '../adapters/adapter.js'
import { REALTIME_ERR_ADAPTER } from '../errors/misuse.js'
import { inPart, isUnavailable, isUncertain } from '../errors/refusal.js'
import type { Awaitable } from '../structures/awaitable.js'
import { settleInBatches, throwFirst } from '../structures/slices.js'
import type { Declaration } from './declaration.js'
import { removalOf } from './publications.js'

/** Values that are removed at a time. */
const BATCH = 50

/**
 * Takes away what is kept of a room: each value, by a removal of its version, so that one that is set meanwhile stays
 * and whoever comes back hears of it; then the texts and the events. What fails may be asked for again.
 *
 * @param send publishes a removal
 * @throws Refusal `unavailable`, with the outcome `unknown` where something may have been taken away
 * @throws REALTIME_ERR_ADAPTER where the adapter cannot
 */
export async function clearRoom (
  adapter: Adapter,
  name: string,
  { settings }: Pick<Declaration, 'settings'>,
  send: (removal: Publication) => Awaitable<unknown>
): Promise<void> {
  const areValues = settings.latest && adapter.latest !== undefined
  const isStream = settings.append !== undefined || (settings.history !== false && adapter.history !== undefined)
  if ((areValues && adapter.removal !== true) || (isStream && adapter.clear === undefined)) {
    throw new REALTIME_ERR_ADAPTER(`the ${adapter.name} adapter cannot clear rooms`)
  }
  let isBegun = false
  try {
    if (areValues) {
      const kept = await adapter.latest!(name, settings)
      const values = kept.filter(({ event }) => event!.isRemoval !== true)
      const failed = await settleInBatches(values, BATCH, async ({ event }) => {
        await send(removalOf(event!))
        isBegun = true
      }, isUnavailable)
      isBegun ||= [...failed.values()].some(isUncertain)
      throwFirst(failed)
    }
    if (isStream) {
      // The texts go first, and may be gone where the events are not.
      isBegun ||= settings.append !== undefined
      await adapter.clear!(name, settings)
    }
  } catch (error) {
    throw isBegun || isUncertain(error) ? inPart(error) : error
  }
}
