import type { Adapter } from '../adapters/adapter.js'
import { REALTIME_ERR_ADAPTER } from '../errors/misuse.js'
import type { Declaration } from './declaration.js'

/**
 * Checks that the adapter can do what a room declares.
 *
 * @throws REALTIME_ERR_ADAPTER with what it lacks
 */
export function checkAbilities (declaration: Declaration, adapter: Adapter): void {
  const { pattern, canUpdate, settings, isWatched } = declaration
  const { name, presence, claims, latest, removal } = adapter
  const need = (what: string, abilities: Readonly<Record<string, unknown>>): void => {
    const lacking = Object.keys(abilities).filter((ability) => abilities[ability] === undefined)
    if (lacking.length === 0) return
    throw new REALTIME_ERR_ADAPTER(
      `"${pattern.source}" ${what}, for which the ${name} adapter lacks ${lacking.join(', ')}`
    )
  }
  if (canUpdate) need('lets members change their data', { 'presence.update': presence?.update })
  if (isWatched) need('has hooks for the first and the last of a room', { presence, claims })
  if (settings.owned === true) {
    need('has values that end with their owner', { latest, removal, 'presence.isPresent': presence?.isPresent })
  }
}
