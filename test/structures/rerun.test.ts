import t from 'tap'
import { Rerun } from '../../lib/structures/rerun.js'

/** A step that ends when the test says so. */
class Step {
  count = 0
  #ends: Array<(error?: Error) => void> = []

  readonly run = async (): Promise<void> => {
    this.count++
    await new Promise<void>((resolve, reject) => {
      this.#ends.push((error) => { if (error === undefined) resolve(); else reject(error) })
    })
  }

  async end (error?: Error): Promise<void> {
    this.#ends.shift()!(error)
    await new Promise((resolve) => { setImmediate(resolve) })
  }
}

t.test('a step runs once for who asks alone', async (t) => {
  const step = new Step()
  const rerun = new Rerun(step.run)
  t.notOk(rerun.isRunning)
  const asked = rerun.run()
  t.ok(rerun.isRunning)
  await step.end()
  await asked
  t.equal(step.count, 1)
  t.notOk(rerun.isRunning)
})

t.test('all who ask during a run wait for the next one, and share it', async (t) => {
  const step = new Step()
  const rerun = new Rerun(step.run)
  const done: string[] = []
  const asked = ['first', 'second', 'third'].map(async (name) => {
    await rerun.run()
    done.push(name)
  })
  await step.end()
  t.same(done, [], 'the first waits too, for it may share what the others ask for')
  await step.end()
  await Promise.all(asked)
  t.equal(step.count, 2)
})

t.test('a run that fails rejects all who wait for it, and the next call begins anew', async (t) => {
  const step = new Step()
  const rerun = new Rerun(step.run)
  const failed = new Error('away')
  const asked = [rerun.run(), rerun.run()]
  for (const each of asked) each.catch(() => undefined)
  await step.end(failed)
  for (const each of asked) await t.rejects(each, failed)
  const again = rerun.run()
  await step.end()
  await again
  t.equal(step.count, 2)
})

t.test('who asks while a run comes to its end gets a whole run, in whichever turn of the microtasks', async (t) => {
  for (let turns = 0; turns < 10; turns++) {
    const ends: Array<() => void> = []
    const rerun = new Rerun(async () => { await new Promise<void>((resolve) => { ends.push(resolve) }) })
    const first = rerun.run()
    ends[0]!()
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    const asked = rerun.run()
    await new Promise((resolve) => { setImmediate(resolve) })
    t.equal(ends.length, 2, `after ${turns} turns`)
    ends[1]?.()
    await Promise.all([first, asked])
  }
})
