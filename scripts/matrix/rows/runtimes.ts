import { join } from 'node:path'
import { smoke } from '../consumer.js'
import { absent, failed, heardAll, type Row } from '../table.js'
import type { Workspace } from '../workspace.js'

const RUNTIMES = [
  { name: 'Bun', package: 'bun', args: [] },
  { name: 'Deno', package: 'deno', args: ['run', '--allow-all', '--node-modules-dir=manual'] }
] as const

/** Other runtimes than Node: an app and its client, no more. */
export async function * runtimeRows (workspace: Workspace): AsyncGenerator<Row, void, undefined> {
  for (const { name, package: wanted, args } of RUNTIMES) {
    const ran = 'an app and its client over each transport'
    let program: string
    let version: string
    try {
      const directory = await workspace.aside(wanted, wanted)
      program = join(directory, 'node_modules/.bin', wanted)
      version = (await workspace.program(program, '--version')).split('\n')[0]!.replace(/^deno /, '').replace(/ .*/, '')
    } catch (error) {
      yield { what: name, version: 'latest', ran, result: absent(error) }
      continue
    }
    const result = await smoke(workspace.directory, ['app.mjs'], [program, ...args]).then(heardAll, failed)
    yield { what: name, version, ran, result }
  }
}
