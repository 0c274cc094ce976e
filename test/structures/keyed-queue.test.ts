import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { KeyedQueue } from '../../lib/structures/keyed-queue.js'

/** A task that ends when it is told. */
function held (): { readonly task: () => Promise<void>, readonly end: () => void } {
  let end!: () => void
  const ended = new Promise<void>((resolve) => { end = resolve })
  return { task: async () => { await ended }, end: () => { end() } }
}

t.test('tasks of one key run one after another in order of arrival', async (t) => {
  const queue = new KeyedQueue()
  const first = held()
  const said: string[] = []
  queue.run('a', first.task, 10)
  for (const name of ['second', 'third']) queue.run('a', () => { said.push(name) }, 10)
  await turn()
  t.same(said, [])
  first.end()
  await turn()
  t.same(said, ['second', 'third'])
})

t.test('a task of another key does not wait, and one that ends at once leaves nothing behind', async (t) => {
  const queue = new KeyedQueue()
  const first = held()
  const said: string[] = []
  queue.run('a', first.task, 10)
  queue.run('b', () => { said.push('b') }, 0)
  queue.run('b', () => { said.push('b again') }, 0)
  t.same(said, ['b', 'b again'])
  first.end()
})

t.test('a task that finds too many waiting is refused, and never runs', async (t) => {
  const queue = new KeyedQueue()
  const first = held()
  const said: string[] = []
  t.equal(queue.run('a', first.task, 1), true, 'nobody waits')
  t.equal(queue.run('a', () => { said.push('second') }, 1), true)
  t.equal(queue.run('a', () => { said.push('third') }, 1), false)
  first.end()
  await turn()
  t.same(said, ['second'])
})
