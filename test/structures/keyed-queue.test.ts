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

t.test('a task that comes from within one of its key runs behind it, whether that one waits or not', async (t) => {
  for (const first of ['waits', 'ends at once', 'throws']) {
    const queue = new KeyedQueue()
    const outer = held()
    const inner = held()
    const said: string[] = []
    const begin = (): void => {
      queue.run('a', () => {
        queue.run('b', () => { queue.run('a', inner.task, 10) }, 10)
        queue.run('a', () => { said.push('behind') }, 10)
        said.push('first')
        if (first === 'throws') throw new Error('the first task')
        return first === 'waits' ? outer.task() : undefined
      }, 10)
    }
    if (first === 'throws') t.throws(begin, { message: 'the first task' })
    else begin()
    outer.end()
    await turn()
    t.same(said, ['first'], first)
    inner.end()
    await turn()
    t.same(said, ['first', 'behind'], first)
    queue.run('a', () => { said.push('last') }, 0)
    queue.run('b', () => { said.push('last of b') }, 0)
    t.same(said.slice(2), ['last', 'last of b'], 'nothing is left behind')
  }
})

t.test('tasks wait for what is held beside those of their key, which waits for none of them', async (t) => {
  const queue = new KeyedQueue()
  const [first, beside] = [held(), held()]
  const said: string[] = []
  queue.run('a', first.task, 10)
  queue.run('a', () => { said.push('second') }, 10)
  queue.hold('a', beside.task())
  first.end()
  await turn()
  t.same(said, [])
  beside.end()
  await turn()
  t.same(said, ['second'])
  const alone = held()
  queue.hold('a', alone.task())
  queue.run('a', () => { said.push('third') }, 10)
  t.same(said, ['second'])
  alone.end()
  await turn()
  t.same(said, ['second', 'third'])
})
