import t from 'tap'
import { Declined, Standing, type Request } from '../../../lib/adapters/broker/standing.js'

// What is tried here keeps no process alive.
const alive = setInterval(() => undefined, 1_000)
t.teardown(() => { clearInterval(alive) })

/** A request to a broker that is there and declines as long as it is told to. */
class Asked implements Request<string> {
  count = 0
  declines = Infinity
  readonly ask = async (): Promise<string> => {
    this.count++
    if (this.count <= this.declines) throw new Declined('full')
    return 'answer'
  }

  readonly canAsk = (): boolean => true
  readonly isBlink = (): boolean => false
  readonly isDeclined = (error: unknown): boolean => error instanceof Declined
}

t.test('a broker that declines is there: it is asked again, and nobody decides without it', async (t) => {
  const asked = new Asked()
  asked.declines = 3
  t.equal(await new Standing().insist('change', asked), 'answer')
  t.equal(asked.count, 4)
})

t.test('a broker that declines for longer than an outage may be short is waited for by nobody who comes then', async (t) => {
  const standing = new Standing()
  const asked = new Asked()
  const began = performance.now()
  await t.rejects(standing.insist('change', asked), { code: 'unavailable' })
  t.ok(performance.now() - began > 1_000, 'it was waited for')
  asked.count = 0
  await t.rejects(standing.insist('change', asked), { code: 'unavailable' })
  t.equal(asked.count, 1)
  asked.declines = 0
  t.equal(await standing.insist('change', asked), 'answer', 'whoever asks finds that it is over')
  asked.count = 0
  asked.declines = 1
  t.equal(await standing.insist('change', asked), 'answer', 'the next time it is waited for again')
})

t.test('what a full broker still reads, and its link, say nothing about what it is to change', async (t) => {
  const standing = new Standing()
  await t.rejects(standing.insist('change', new Asked()), { code: 'unavailable' })
  const read = new Asked()
  read.declines = 0
  t.equal(await standing.insist('read', read), 'answer')
  standing.link.seen()
  standing.link.over()
  const asked = new Asked()
  await t.rejects(standing.insist('change', asked), { code: 'unavailable' })
  t.equal(asked.count, 1, 'it is not waited for once more')
})

t.test('who waits for a broker that declines is answered when nobody asks any more', async (t) => {
  const standing = new Standing()
  const waiting = standing.insist('change', new Asked())
  await new Promise(setImmediate)
  standing.close()
  await t.rejects(waiting, { code: 'unavailable' })
})
