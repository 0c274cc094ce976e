import { bundle, smoke, type Heard } from '../consumer.js'
import { absent, failed, heardAll, type Row } from '../table.js'
import type { Workspace } from '../workspace.js'

const PLUGINS = ['node-resolve', 'commonjs', 'json'].map((name) => `@rollup/plugin-${name}`)
const BUNDLERS = [
  { name: 'esbuild', packages: ['esbuild'] },
  { name: 'rollup', packages: ['rollup', ...PLUGINS] },
  { name: 'webpack', packages: ['webpack'] },
  { name: 'vite', packages: ['vite'] }
] as const

function verdict (warnings: readonly string[], heard: Heard): string {
  if (warnings.length > 0) return `FAILED: ${warnings.join('; ')}`
  return heardAll(heard)
}

/** Bundles of a whole app for Node and of the client for browsers, each built without a warning and run. */
export async function * bundlerRows (workspace: Workspace): AsyncGenerator<Row, void, undefined> {
  const { directory } = workspace
  for (const { name, packages } of BUNDLERS) {
    try {
      await workspace.install(...packages)
    } catch (error) {
      yield { what: name, version: 'latest', ran: '', result: absent(error) }
      continue
    }
    const version = await workspace.versionOf(name)
    const tried = async (entry: string, out: string, isPage: boolean, program: string[]): Promise<string> => {
      try {
        const warnings = await bundle(directory, name, entry, out, isPage ? 'browser' : 'node')
        return verdict(warnings, await smoke(directory, program))
      } catch (error) {
        return failed(error)
      }
    }
    const [server, page] = [`out/${name}.cjs`, `out/${name}.mjs`]
    const ofServer = await tried('app.mjs', server, false, [server])
    yield { what: name, version, ran: 'a whole app in one file for Node', result: ofServer }
    const ofPage = await tried('page.mjs', page, true, ['run-page.mjs', page])
    yield { what: name, version, ran: 'the client for browsers', result: ofPage }
  }
}
