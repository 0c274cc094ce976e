import t from 'tap'
import { Access } from '../../lib/admission/access.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { defineRoom } from '../../lib/index.js'
import { declare, type RoomHooks } from '../../lib/rooms/declaration.js'
import { Hub } from '../../lib/rooms/hub.js'

const ADA = { user: {}, userId: 'ada' }

function make (...rooms: ReadonlyArray<readonly [string, RoomHooks?]>): Access {
  const hub = new Hub(memory(), {
    presence: { grace: 1_000, lease: 1_000 },
    presenceList: 10,
    eventLimit: 1_000,
    validateOutput: true,
    onError: () => {},
    onUnhandled: () => {}
  })
  for (const [name, hooks = {}] of rooms) {
    hub.declarations.add(declare(defineRoom(name, {}), hooks, {}, { history: false }, undefined))
  }
  return new Access(hub, { checkRoom: () => undefined }, 30_000)
}

t.test('a room without authorize lets everybody in, at once', async (t) => {
  const found = make(['chat/:id']).allow('chat/1', ADA)
  t.match(found, { params: { id: '1' } })
})

t.test('only true lets a user in, whether it is answered at once or later', async (t) => {
  for (const answer of [true, false, 1, 'yes', {}]) {
    for (const authorize of [() => answer as boolean, async () => answer as boolean]) {
      const asked = (async () => await make(['chat/:id', { authorize }]).allow('chat/1', ADA))()
      if (answer === true) t.match(await asked, { params: { id: '1' } })
      else await t.rejects(asked, { code: 'forbidden' })
    }
  }
})

t.test('the room of a user is nobody else\'s to name', async (t) => {
  const access = make(['@user/:id'])
  t.match(access.allow('@user/ada', ADA), { params: { id: 'ada' } })
  t.throws(() => access.allow('@user/bob', ADA), { code: 'forbidden' })
})

t.test('a name that is none, and one that nothing is declared for, are told apart', async (t) => {
  const access = make(['chat/:id'])
  t.throws(() => access.allow('chat/..', ADA), { code: 'room_invalid' })
  t.throws(() => access.allow('nowhere', ADA), { code: 'room_unknown' })
})

t.test('a user is in those built-in rooms that are declared', async (t) => {
  t.same(make(['chat/:id']).builtIn('ada'), [])
  t.same(make(['@all']).builtIn('ada'), ['@all'])
  t.same(make(['@all'], ['@user/:id']).builtIn('a b'), ['@all', '@user/a%20b'])
})
