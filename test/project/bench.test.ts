import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { requireCleanTree } from '../../bench/clean.js'
import { OTHERS, PEERS } from '../../bench/peers.js'
import { takesPart } from '../../bench/select.js'
import { report } from '../../bench/steady/report.js'
import { workloads } from '../../bench/workloads/list.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const isBuilt = existsSync(new URL('../../dist/index.js', import.meta.url))
const skip = isBuilt || process.env.CI !== undefined ? false : 'the benchmark measures what is built: npm run build'

interface Run { readonly code: number | string, readonly report: string, readonly said: string }

async function smoke (): Promise<Run> {
  return await new Promise((resolve) => {
    execFile(process.execPath, [
      '--import',
      'tsx',
      'bench/run.ts',
      '--smoke'
    ], { cwd: ROOT, env: { ...process.env, NODE_OPTIONS: '' } }, (error, report, said) => {
      resolve({ code: error?.code ?? (error === null ? 0 : 1), report, said })
    })
  })
}

/** Titles of the rows below a heading, up to the next. */
function rowsOf (report: string, heading: string): string[] {
  const section = report.split(/^## /m).find((text) => text.startsWith(heading)) ?? ''
  return section.split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|')[1]!.trim())
    .filter((title) => title !== '')
}

t.test(
  'the benchmark runs every workload on a server of each kind that can be loaded, and nothing crashes',
  { skip },
  async (t) => {
    const { code, report, said } = await smoke()
    t.equal(code, 0, said)
    const loaded = [...PEERS, ...OTHERS].filter(({ title }) => !report.includes(`- ${title} skipped: `))
    const tried = new Set<string>()
    for (const workload of workloads('smoke')) {
      const { id, title, group } = workload
      const peers = loaded.filter((peer) => takesPart(workload, peer))
      for (const peer of peers) tried.add(peer.id)
      if (group === 'curve') t.ok(rowsOf(report, 'Cost curve').includes(title), title)
      else t.same(rowsOf(report, `${id}: `), peers.map((peer) => peer.title), id)
    }
    t.same([...tried].sort(), loaded.map(({ id }) => id).sort(), 'all that can be loaded')
    t.notMatch(report, / left out: | failed: /)
  }
)

t.test('a report is written of a clean commit only, to which other reports may be new', (t) => {
  const root = t.testdir()
  const git = (...args: string[]): void => {
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], { cwd: root })
  }
  mkdirSync(join(root, 'bench'))
  writeFileSync(join(root, 'code.ts'), '1')
  git('init', '-q')
  git('add', '.')
  git('commit', '-qm', 'one')
  writeFileSync(join(root, 'bench/RESULTS.md'), 'measured')
  t.doesNotThrow(() => { requireCleanTree(root) })
  writeFileSync(join(root, 'new.ts'), '1')
  t.throws(() => { requireCleanTree(root) }, /clean commit.*changed: new\.ts/)
  writeFileSync(join(root, 'code.ts'), '2')
  t.throws(() => { requireCleanTree(root) }, /changed: code\.ts, new\.ts/)
  t.end()
})

t.test('the report of a long run calls a heap flat that swings, one that grows not, and a tail late by its worst minute', (t) => {
  const told = (heaps: number[], tails: number[]): string => {
    const usual = { perSecond: 20_000, core: 0.2, others: 0, busy: 0.3, p50: 1, p99: 5, p999: 8, heap: 1, rss: 2 ** 27 }
    const stretches = (all: number[], of: 'heap' | 'p999') =>
      all.map((value, minute) => ({ ...usual, at: (minute + 1) * 60, [of]: value }))
    return report({
      chat: { title: 'C', stretches: stretches(heaps.map((heap) => heap * 2 ** 20), 'heap') },
      tail: { title: 'W5', stretches: stretches(tails, 'p999') }
    })
  }
  const swinging = told([30, 40, 50, 50.2, 49.9, 50.1, 50], [12, 29])
  t.match(swinging, /\| growth \| 49\.9 +\| 50\.2 +\|[^]*The heap is flat \(/, 'and what fills it at first does not count')
  t.match(swinging, /p99\.9 29\.0 ms: met/)
  const growing = told([30, 40, 50, 51, 52, 53, 54], [12, 31, 14])
  t.match(growing, /\| growth \| [^\n]* 1 024 +\|[^]*The heap is not flat/)
  t.match(growing, /p99\.9 31\.0 ms: missed/)
  t.match(told([50, 50], [12]), /Too short/)
  t.end()
})
