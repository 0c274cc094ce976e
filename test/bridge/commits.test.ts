import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Commits, type Taken } from '../../lib/bridge/commits.js'

interface Made {
  readonly commits: Commits<number>
  readonly taken: ReadonlyArray<Taken<number>>
  readonly said: string[]
}

/** Records 1 to `count`, and what is said about their commits. */
function made (count: number, commit: (record: number) => unknown = () => undefined): Made {
  const said: string[] = []
  const commits = new Commits<number>({
    commit: (record, more) => {
      said.push(`${record}${more ? ' more' : ''}`)
      return commit(record)
    },
    onProgress: () => undefined,
    onError: (error) => { said.push(String(error)) }
  })
  return { commits, taken: Array.from({ length: count }, (_, index) => commits.add(index + 1)), said }
}

t.test('records are committed in the order of their source, whatever the order in which they are settled', async (t) => {
  const { commits, taken, said } = made(4)
  for (const index of [2, 1]) commits.settle(taken[index]!)
  await turn()
  t.same(said, [], 'the first is not settled')
  commits.settle(taken[0]!)
  await turn()
  t.same(said, ['1 more', '2 more', '3'], 'and each is told whether the next follows at once')
  t.same([commits.committed, commits.size], [3, 1])
})

t.test('a commit waits for the one before it, and a record counts until its own has returned', async (t) => {
  const ends: Array<() => void> = []
  const { commits, taken, said } = made(2, async () => { await new Promise<void>((resolve) => { ends.push(resolve) }) })
  for (const each of taken) commits.settle(each)
  await turn()
  t.same([said, commits.size, commits.isCommitting], [['1'], 2, true])
  ends[0]!()
  await turn()
  t.same([said, commits.size], [['1', '2'], 1])
  ends[1]!()
  await turn()
  t.same([commits.size, commits.committed, commits.isCommitting], [0, 2, false])
})

t.test('nothing is committed behind a commit that has thrown', async (t) => {
  const { commits, taken, said } = made(3, (record) => { if (record === 2) throw new Error('no') })
  for (const each of taken) commits.settle(each)
  await turn()
  t.same([said, commits.size], [['1', '2 more', 'Error: no'], 2])
  commits.settle(commits.add(4))
  await turn()
  t.equal(said.length, 3)
})
