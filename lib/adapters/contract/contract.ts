import { claimsContract } from './claims.js'
import { clearingContract } from './clearing.js'
import { clocksContract } from './clocks.js'
import { controlContract } from './control.js'
import { denialsContract } from './denials.js'
import { eventsContract } from './events.js'
import { historyContract } from './history.js'
import { latestContract } from './latest.js'
import { limitsContract } from './limits.js'
import { namesContract } from './names.js'
import { presenceContract } from './presence.js'
import { textsContract } from './texts.js'
import { node } from './host.js'
import type { Subject } from './subject.js'
import type { ContractOptions, ContractTest, CreateAdapters } from './suite.js'

/**
 * Tries an adapter against all that the nodes rely on. A capability that is absent is passed over with its name. Events
 * and times are real, so that the whole takes some seconds.
 *
 * @param t the runner: a test of tap, or what has its methods
 * @param create called for each test
 */
export function adapterContract (
  t: ContractTest,
  create: CreateAdapters,
  { name = 'adapter', nodes = 2 }: ContractOptions = {}
): void {
  const pair: Subject['pair'] = async (scope, remembered) => {
    const next = await create(scope)
    const a = await node(scope, next(), 'a', remembered)
    return [a, nodes === 2 ? await node(scope, next(), 'b', remembered) : a]
  }
  const subject: Subject = { t, name, nodes, pair }
  eventsContract(subject)
  historyContract(subject)
  clearingContract(subject)
  latestContract(subject)
  textsContract(subject)
  presenceContract(subject)
  limitsContract(subject)
  claimsContract(subject)
  denialsContract(subject)
  namesContract(subject)
  controlContract(subject)
  clocksContract(subject)
}
