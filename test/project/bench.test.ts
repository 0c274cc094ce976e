import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { PEERS } from '../../bench/peers.js'
import { workloads } from '../../bench/workloads.js'

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
  'the benchmark runs every workload on every server that can be loaded, and nothing crashes',
  { skip },
  async (t) => {
    const { code, report, said } = await smoke()
    t.equal(code, 0, said)
    const loaded = PEERS.filter(({ title }) => !report.includes(`- ${title} skipped: `))
    for (const { id, title, group, isOursAlone } of workloads('smoke')) {
      if (group === 'curve') t.ok(rowsOf(report, 'Cost curve').includes(title), title)
      else {
        t.same(
          rowsOf(report, `${id}: `),
          loaded.slice(0, isOursAlone ? 1 : loaded.length).map((peer) => peer.title),
          id
        )
      }
    }
    t.notMatch(report, / left out: | failed: /)
  }
)
