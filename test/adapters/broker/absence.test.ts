import t from 'tap'
import { Absence, type Question } from '../../../lib/adapters/broker/absence.js'

const blink = new Error('a blink')

// What is tried here keeps no process alive.
const alive = setInterval(() => undefined, 1_000)
t.teardown(() => { clearInterval(alive) })

/** A question that fails as long as it is told to. */
class Asked implements Question<string> {
  count = 0
  isFailing = true
  isReachable = true
  readonly ask = async (): Promise<string> => {
    this.count++
    if (this.isFailing) throw blink
    return 'answer'
  }

  readonly canAsk = (): boolean => this.isReachable
  readonly isBlink = (error: unknown): boolean => error === blink
}

t.test('what failed in a blink is asked again as soon as the broker is back, and not before', async (t) => {
  const absence = new Absence()
  const asked = new Asked()
  asked.isReachable = false
  const answers = Promise.all([absence.insist(asked), absence.insist(asked)])
  await new Promise((resolve) => { setTimeout(resolve, 300) })
  t.equal(asked.count, 2, 'nobody asks while nobody can be asked')
  asked.isFailing = false
  absence.over()
  t.same(await answers, ['answer', 'answer'])
  t.equal(asked.count, 4)
})

t.test('a broker that is not back within the window is away, and is waited for by nobody who comes then', async (t) => {
  const absence = new Absence()
  const asked = new Asked()
  asked.isReachable = false
  const began = performance.now()
  await t.rejects(absence.insist(asked), blink)
  t.ok(performance.now() - began > 1_000, 'it was waited for')
  asked.count = 0
  await t.rejects(absence.insist(asked), blink)
  t.equal(asked.count, 1)
  absence.over()
  const later = absence.insist(asked)
  await new Promise((resolve) => { setImmediate(resolve) })
  asked.isFailing = false
  absence.over()
  t.equal(await later, 'answer', 'the next blink is waited for again')
})

t.test('a broker that answers while its connections break again and again is waited for beyond the window', async (t) => {
  const absence = new Absence()
  const asked = new Asked()
  asked.isReachable = false
  const waiting = absence.insist(asked)
  await new Promise((resolve) => { setTimeout(resolve, 1_500) })
  absence.seen()
  await new Promise((resolve) => { setTimeout(resolve, 1_500) })
  asked.isFailing = false
  absence.over()
  t.equal(await waiting, 'answer')
  absence.known()
  absence.seen()
  asked.isFailing = true
  const later = absence.insist(asked)
  await new Promise((resolve) => { setImmediate(resolve) })
  asked.isFailing = false
  absence.over()
  t.equal(await later, 'answer', 'one that was away is waited for again as well')
})

t.test('a part of a broker that fails while the link stands is asked again at once, and away after the window', async (t) => {
  const absence = new Absence()
  const asked = new Asked()
  const waiting = absence.insist(asked)
  for (let turn = 0; asked.count < 3 && turn < 100; turn++) await new Promise((resolve) => { setTimeout(resolve, 50) })
  asked.isFailing = false
  t.equal(await waiting, 'answer')
  asked.isFailing = true
  await t.rejects(absence.insist(asked), blink)
  asked.count = 0
  await t.rejects(absence.insist(asked), blink)
  t.equal(asked.count, 1, 'nobody waits for what is away')
  asked.isFailing = false
  t.equal(await absence.insist(asked), 'answer', 'whoever asks finds that it is back')
})

t.test('what was refused for another reason is not asked again', async (t) => {
  const absence = new Absence()
  let count = 0
  const ask = async (): Promise<never> => {
    count++
    throw new Error('no')
  }
  await t.rejects(absence.insist({ ask, canAsk: () => true, isBlink: (error) => error === blink }), { message: 'no' })
  t.equal(count, 1)
})
