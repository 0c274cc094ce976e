import t from 'tap'
import { BROKERS } from '../helpers/brokers.js'
import { missing } from '../helpers/servers.js'
import { node } from '../../lib/adapters/contract/host.js'

const TIMEOUT = { timeout: 1_000 }

/** Milliseconds: longer than a request may take. */
const STALL = 1_500

function stall (): void { for (const until = performance.now() + STALL; performance.now() < until;); }

for (const { name, program, start, make } of BROKERS) {
  t.test(`${name}: a node that stands still for longer than a request may take is not told that the broker is away: of 15 who ask for 5 slots, 5 have one`, {
    skip: missing(
      program
    )
  }, async (t) => {
    const { port } = await start(t)
    const [a, b] = [await node(t, make(port, TIMEOUT), 'a'), await node(t, make(port, TIMEOUT), 'b')]
    for (const wait of [0, 1, 3]) {
      const key = `user:${wait}`
      const asked = Array.from({ length: 15 }, (_, index) => a.adapter.leases!.acquire(key, `c${index}`, 5, 60_000))
      await new Promise((resolve) => { setTimeout(resolve, wait) })
      // Those who come while the others are under way wait behind them.
      asked.push(...Array.from({ length: 15 }, (_, index) => a.adapter.leases!.acquire(key, `d${index}`, 5, 60_000)))
      stall()
      const answers = await Promise.allSettled(asked)
      t.same(
        answers.map(({ status }) => status),
        answers.map(() => 'fulfilled'),
        'nobody is told that it cannot be asked'
      )
      t.equal(answers.filter((answer) => answer.status === 'fulfilled' && answer.value).length, 5)
      t.equal(await b.adapter.leases!.count(key), 5)
    }
  })
}
