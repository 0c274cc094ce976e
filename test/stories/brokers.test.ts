import t from 'tap'
import { missingServer, type AdapterName } from './brokers/broker.js'
import { FAULTS } from './brokers/faults.js'
import { faultsOf } from './brokers/report.js'
import { randomBy } from '../helpers/random.js'
import { tell } from './brokers/story.js'

/** What goes on in a few seconds; all of it by `npm run chaos:brokers`. */
const TOLD: ReadonlyArray<readonly [AdapterName, string]> = [
  ['redis', 'client-kill-pubsub'],
  ['nats', 'cut'],
  ['redis', 'restart-older'],
  ['nats', 'restart-none'],
  ['redis', 'kill'],
  ['nats', 'stop']
]
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 1e9))
const seeds = randomBy(SEED)

// Most of a story is waiting.
t.jobs = 2
t.comment(`SEED=${SEED}`)

for (const [adapter, name] of TOLD) {
  const fault = FAULTS.find((each) => each.name === name)!
  const seed = Math.floor(seeds() * 1e9)
  const promise = 'nothing is lost unsaid, doubled, out of order or done twice'
  t.test(`${adapter}: clients move between three nodes, and ${fault.title}: ${promise}`, {
    buffered: true,
    skip: missingServer(adapter),
    timeout: 120_000
  }, async (t) => {
    const result = await tell({ adapter, fault, seed })
    t.same(faultsOf(fault, result), [], `seed ${seed}`)
    t.ok(result.counts.heard > 100, `${result.counts.heard} events were heard`)
    t.ok(result.counts.messages > 0, `${result.counts.messages} messages were sent`)
  })
}
