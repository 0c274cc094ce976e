import t, { type Test } from 'tap'
import { BROKERS, WORKERS, type Broker } from '../../helpers/brokers.js'
import { missing, type Server } from '../../helpers/servers.js'
import { growingTexts } from './growing-texts.js'
import { lastSlots } from './leases.js'
import { ownedValues } from './owned-values.js'
import { wholeHooks } from './whole-hooks.js'

/** What holds when a node is killed, by the story that shows it. */
const STORIES: Readonly<Record<string, (t: Test, broker: Broker, server: Server) => Promise<void>>> = {
  'the last slot of a user and of a room, held by a node that is killed, are refused until its lease ends and then free': lastSlots,
  'the values of users whose node is killed are gone when its lease is over, and not those of users who are elsewhere too': ownedValues,
  'of users and rooms that were only on a node that is killed, another node is told when its lease is over': wholeHooks,
  // The shortest lease is the last to begin.
  'the readers of a node that is killed have each text whole from another, those of its writers are told that it is lost': growingTexts
}

// Each waits for a lease to end, which is most of it.
const ALL = [...BROKERS, WORKERS]
t.jobs = ALL.length * Object.keys(STORIES).length

for (const [promise, story] of Object.entries(STORIES)) {
  for (const broker of ALL) {
    t.test(`${broker.name}: ${promise}`, {
      buffered: true,
      timeout: 240_000,
      skip: missing(broker.program)
    }, async (t) => { await story(t, broker, await broker.start(t)) })
  }
}
