/**
 * `npm run matrix -- [--write] [--only loading,typescript,runtimes,bundlers,core]`: what the packed package works with.
 * One after another, behind other work of the machine. Needs a network, and for the rows of ioredis `redis-server`.
 * With `--write` each row goes to test/MATRIX.md in place of the one that was there; rows that did not run stay. Ends
 * with 1 when a row failed; what could not be had is no failure, and says why.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { setPriority } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bundlerRows } from './matrix/rows/bundlers.js'
import { coreRows } from './matrix/rows/core.js'
import { loadingRows } from './matrix/rows/loading.js'
import { runtimeRows } from './matrix/rows/runtimes.js'
import { typescriptRows } from './matrix/rows/typescript.js'
import { linesOf, markdown, merged, type Row } from './matrix/table.js'
import { pack, ROOT, temporary } from './matrix/tarball.js'
import { Workspace } from './matrix/workspace.js'

const { values } = parseArgs({ options: { write: { type: 'boolean' }, only: { type: 'string' } } })
setPriority(10)
const teardowns: Array<() => Promise<void>> = []
const directory = await temporary((callback) => teardowns.push(callback))
const tarball = await pack(directory)
const workspace = await Workspace.create(join(directory, 'workspace'), tarball)
const parts = {
  loading: loadingRows,
  typescript: typescriptRows,
  runtimes: runtimeRows,
  bundlers: bundlerRows,
  core: coreRows
}
const wanted = values.only?.split(',') ?? Object.keys(parts)
const rows: Row[] = []
const file = join(ROOT, 'test/MATRIX.md')
const before = await readFile(file, 'utf8').then(linesOf, () => [])
try {
  for (const [name, part] of Object.entries(parts)) {
    if (!wanted.includes(name)) continue
    for await (const row of part(workspace)) {
      rows.push(row)
      console.log(`${row.what} ${row.version}: ${row.result}`)
      if (values.write === true) await writeFile(file, markdown(merged(before, rows)))
    }
  }
} finally {
  for (const teardown of teardowns) await teardown()
}
console.log(`\n${markdown(merged([], rows))}`)
process.exitCode = rows.some(({ result }) => result.startsWith('FAILED')) ? 1 : 0
