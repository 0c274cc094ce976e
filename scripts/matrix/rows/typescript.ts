import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../run.js'
import { absent, type Row } from '../table.js'
import type { Workspace } from '../workspace.js'

/** From the floor to the newest. */
const VERSIONS = ['5.6', '5.7', '5.8', '5.9', '6', '7']
/** The first that lets CommonJS import ES modules. */
const REQUIRES = 5.8

/** Types of the oldest Node that we run on, up to the newest. */
const NODE_TYPES = ['20', '22', '24', '26']
/** An app as its author may check it: with the types of all that it imports. */
const APP = ['', '/client', '/contract', '/testing', '/gateway', '/adapter'].map((entry) =>
  `import 'fastify-realtime${entry}'\n`).join('')

async function * nodeTypesRows (workspace: Workspace): AsyncGenerator<Row, void, undefined> {
  const ran = 'skipLibCheck: false'
  for (const wanted of NODE_TYPES) {
    try {
      const directory = await workspace.aside(
        `types-node-${wanted}`, workspace.tarball, 'fastify@5', '@sinclair/typebox', 'typescript@5.9', `@types/node@${wanted}`
      )
      await writeFile(join(directory, 'app.mts'), APP)
      const manifest = await readFile(join(directory, 'node_modules/@types/node/package.json'), 'utf8')
      const { version } = JSON.parse(manifest) as { version: string }
      const args = '--pretty false --noEmit --strict --types node --target es2022 --module nodenext app.mts'.split(' ')
      const { code, output } = await run(join(directory, 'node_modules/.bin/tsc'), args, { cwd: directory })
      yield { what: '@types/node', version, ran, result: code === 0 ? 'passes' : `FAILED: ${output.trim().slice(0, 200)}` }
    } catch (error) {
      yield { what: '@types/node', version: wanted, ran, result: absent(error) }
    }
  }
}

/** The public types: the apps of test/api, the inference of test/types, and from 5.8 on an app in CommonJS. */
export async function * typescriptRows (workspace: Workspace): AsyncGenerator<Row, void, undefined> {
  for (const wanted of VERSIONS) {
    const hasRequire = Number(wanted) >= REQUIRES
    const ran = `test/types, test/api${hasRequire ? ', CommonJS' : ''}`
    let compiler: string
    let version: string
    try {
      compiler = join(await workspace.aside(`typescript-${wanted}`, `typescript@${wanted}`), 'node_modules/.bin/tsc')
      version = (await workspace.program(compiler, '--version')).replace('Version', '').trim()
    } catch (error) {
      yield { what: 'TypeScript', version: wanted, ran, result: absent(error) }
      continue
    }
    const common = ['--noEmit', '--strict', '--skipLibCheck', '--allowJs', '--types', 'node']
    const commonJs = [...common, '--target', 'es2022', '--module', 'nodenext']
    const own = Number(wanted) >= 6 ? ['--ignoreConfig'] : []
    const apps = ['types', 'api'].map((name) => ['-p', `test/${name}`])
    const programs = [...apps, ...(hasRequire ? [[...commonJs, ...own, 'app.cts']] : [])]
    const faults: string[] = []
    for (const args of programs) {
      const { code, output } = await run(compiler, ['--pretty', 'false', ...args], { cwd: workspace.directory })
      if (code !== 0) faults.push(output.trim().slice(0, 200) || `ended with ${code ?? 'no code in time'}`)
    }
    yield { what: 'TypeScript', version, ran, result: faults.length === 0 ? 'passes' : `FAILED: ${faults.join('; ')}` }
  }
  yield * nodeTypesRows(workspace)
}
