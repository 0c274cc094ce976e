import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { run } from '../../scripts/matrix/run.js'
import { ROOT } from '../../scripts/matrix/tarball.js'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** @returns what the compiler says of a project, empty when it finds nothing wrong */
async function compile (project: string): Promise<string> {
  const { code, output } = await run(process.execPath, ['node_modules/typescript-7/bin/tsc', '-p', at(project)], { cwd: ROOT })
  return code === 0 ? '' : `it ends with ${code}: ${output}`
}

/** The expected errors of each file. */
const WRONG = { inference: 41, frames: 8, schemas: 15, hooks: 6, 'apps/index': 3 }

t.test('the apps of the documentation compile, and a program that must not compile does not', async (t) => {
  t.equal(await compile('../types/apps'), '')
})

t.test('types are inferred from the contract, and what must not compile does not, wrong frames above all', async (t) => {
  t.equal(await compile('../types'), '')
})

t.test('no expected error was lost', async (t) => {
  for (const [file, errors] of Object.entries(WRONG)) {
    t.equal(readFileSync(at(`../types/${file}.ts`), 'utf8').match(/@ts-expect-error/g)?.length, errors, file)
  }
})
