import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Walk, type Walked } from '../../lib/rooms/walk.js'

interface Guest extends Walked { readonly heard: number[], readonly meant: number[], endsAt: number | undefined }

type Step =
  | { readonly do: 'enter' | 'add' | 'finish' }
  | { readonly do: 'addInLoop' }
  | { readonly do: 'leave' | 'say', readonly who: number }
  | { readonly do: 'walk', readonly strides: number }
  /**
   * the guest goes when it is offered something, in the middle of a walk, and what it says then is offered to the
   * others
   */
  | { readonly do: 'endInWalk', readonly who: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Step>({ do: 'enter' }) },
  { weight: 6, arbitrary: fc.constant<Step>({ do: 'add' }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: 'finish' }, { do: 'addInLoop' }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('leave' as const, 'say' as const, 'endInWalk' as const), who: fc.nat() })
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('walk' as const), strides: fc.integer({ min: 1, max: 3 }) }) }
)

t.test(
  'whoever comes, goes, ends in the middle or is spoken to between two parts of a walk, each is offered all that was added while it was there, once and in order',
  async (t) => {
    fc.assert(fc.property(fc.array(step, { maxLength: 120, size: 'max' }), fc.integer({ min: 0, max: 150 }), (steps, crowd) => {
      const guests: Guest[] = []
      let n = 0
      const done: number[] = []
      const walk = new Walk<Guest>({ members: () => guests, look: () => {}, most: { offers: 5, bytes: 1_000 } })
      const enter = (): void => {
        const guest: Guest = { seen: 0, heard: [], meant: [], endsAt: undefined }
        walk.enter(guest)
        guests.push(guest)
      }
      const leave = (guest: Guest): void => {
        walk.catchUp(guest)
        assert.deepEqual(guest.heard, guest.meant, 'who goes has all of its time')
        const at = guests.indexOf(guest)
        if (at === -1) return
        const last = guests.pop()!
        if (last !== guest) guests[at] = last
      }
      const add = (isAnyNumber = false): void => {
        const number = ++n
        for (const guest of guests) guest.meant.push(number)
        walk.add({
          bytes: 300,
          offer: (guest) => {
            guest.heard.push(number)
            if (guest.endsAt === undefined || number < guest.endsAt) return
            guest.endsAt = undefined
            leave(guest)
            add()
          },
          done: () => {
            assert.ok(
              guests.every(({ heard, meant }) => heard.includes(number) || !meant.includes(number)),
              'done when all have it'
            )
            done.push(number)
          }
        }, isAnyNumber)
      }
      for (let index = 0; index < crowd; index++) enter()
      for (const each of steps) {
        const guest = 'who' in each ? guests[each.who % Math.max(1, guests.length)] : undefined
        if (each.do === 'enter') enter()
        else if (each.do === 'add') add()
        else if (each.do === 'addInLoop') add(true)
        else if (each.do === 'finish') walk.finish()
        else if (each.do === 'walk') {
          let left = each.strides
          walk.step(() => --left <= 0)
        } else if (guest !== undefined) {
          if (each.do === 'leave') leave(guest)
          else if (each.do === 'endInWalk') guest.endsAt = n + 1
          else {
            walk.catchUp(guest)
            assert.deepEqual(guest.heard, guest.meant, 'what is said to it comes behind everything before')
          }
        }
        for (const { heard, meant } of guests) {
          assert.deepEqual(heard, meant.slice(0, heard.length), 'in order, without a hole')
        }
      }
      while (walk.step(() => true));
      assert.equal(walk.isPending, false)
      for (const { heard, meant } of guests) assert.deepEqual(heard, meant, 'all')
      assert.deepEqual(done, Array.from({ length: n }, (_, index) => index + 1), 'each offer ends once, in order')
    }), { numRuns: 300 })
    t.pass('300 runs')
  }
)

t.test(
  'a walk of many members stops when its time is over, and offers that are added meanwhile are made in the rounds behind',
  async (t) => {
    const guests = Array.from({ length: 1_000 }, () => ({ seen: 0, heard: 0 }))
    const walk = new Walk<typeof guests[number]>({
      members: () => guests,
      look: () => {},
      most: { offers: 10, bytes: 1_000 }
    })
    const ended: string[] = []
    const offer = (name: string): void => {
      walk.add({ bytes: 1, offer: (guest) => { guest.heard++ }, done: () => { ended.push(name) } })
    }
    const heard = (): number => guests.reduce((sum, guest) => sum + guest.heard, 0)
    offer('first')
    t.equal(heard(), 0, 'nothing in the turn of the call')
    t.equal(walk.step(() => true), true)
    const some = heard()
    t.ok(some > 0 && some <= 100, String(some))
    offer('second')
    let turns = 0
    while (walk.step(() => true)) turns++
    t.same(ended, ['first', 'second'])
    t.ok(turns > 10, String(turns))
    t.equal(heard(), 2_000)
  }
)

t.test('beyond its bound a walk makes the oldest offer to all at once, and keeps the others', async (t) => {
  const guests = Array.from({ length: 100 }, () => ({ seen: 0, heard: [] as number[] }))
  const walk = new Walk<typeof guests[number]>({
    members: () => guests,
    look: () => {},
    most: { offers: 3, bytes: 1_000 }
  })
  const offer = (number: number, bytes = 1): void => {
    walk.add({ bytes, offer: (guest) => { guest.heard.push(number) }, done: () => {} })
  }
  for (let number = 1; number <= 3; number++) offer(number)
  t.ok(guests.every(({ heard }) => heard.length === 0))
  offer(4)
  t.ok(guests.every(({ heard }) => heard.join() === '1'))
  offer(5, 999)
  t.ok(guests.every(({ heard }) => heard.join() === '1,2,3'), 'bytes count as well')
  walk.finish()
  t.ok(guests.every(({ heard }) => heard.join() === '1,2,3,4,5'))
})
