import type { Subject } from './subject.js'
import { until } from './until.js'

/** Tries the keeping out of subjects. */
export function denialsContract ({ name, nodes, pair, t }: Subject): void {
  t.test(`${name}: a denied subject is denied until its time`, async (t) => {
    const [a, b] = await pair(t)
    const [mine, theirs] = [a.adapter.denials, b.adapter.denials]
    if (mine === undefined || theirs === undefined) return t.pass('no denials')
    await mine.deny('user:ann', Date.now() + 60_000)
    await mine.deny('user:ann', Date.now() + 10)
    await mine.deny('token:t1', Date.now() + 50)
    t.equal(await theirs.isDenied(['token:none', 'user:ann']), true)
    t.equal(await theirs.isDenied(['user:bob']), false)
    await until('the shorter denial ends', async () => !await theirs.isDenied(['token:t1']))
    t.equal(await theirs.isDenied(['user:ann']), true)
  })

  t.test(`${name}: a subject that is denied has the highest version of its denials, also where one of them ends sooner`, async (t) => {
    const [a, b] = await pair(t)
    const [mine, theirs] = [a.adapter.denials, b.adapter.denials]
    if (mine?.version === undefined || theirs?.version === undefined) return t.pass('no versions')
    const [first, second] = [Date.now(), Date.now() + 1]
    await mine.deny('member:ann', Date.now() + 60_000)
    t.equal(await theirs.version('member:ann'), undefined)
    await mine.deny('member:ann', Date.now() + 60_000, first)
    t.equal(await theirs.version('member:ann'), first)
    await theirs.deny('member:ann', Date.now() + 30_000, second)
    // A node may have missed the second one, and tell a broker that has lost its data what it knows.
    await mine.deny('member:ann', Date.now() + 60_000, first)
    await mine.deny('member:ann', Date.now() + 60_000)
    for (const store of [mine, theirs]) t.equal(await store.version!('member:ann'), second)
    t.equal(await theirs.isDenied(['member:ann']), true)
    t.equal(await theirs.version('member:bob'), undefined)
  })

  if (nodes > 1) {
    t.test(`${name}: a node whose clock is an hour off keeps a subject out for as long as it says`, async (t) => {
      const [a, b] = await pair(t)
      const [mine, theirs] = [a.adapter.denials, b.adapter.denials]
      if (mine === undefined || theirs === undefined) return t.pass('no denials')
      const now = Date.now
      t.teardown(() => { Date.now = now })
      for (const hours of [-1, 1]) {
        Date.now = () => now() + hours * 3_600_000
        await mine.deny(`user:${hours}`, Date.now() + 60_000)
        await mine.deny(`token:${hours}`, Date.now() + 50)
        Date.now = now
        t.equal(await theirs.isDenied([`user:${hours}`]), true, `${hours} h`)
        await until('the short one is over', async () => !await theirs.isDenied([`token:${hours}`]), 5_000)
      }
    })
  }
}
