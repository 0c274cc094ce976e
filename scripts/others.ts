/**
 * What the client libraries of others cost a page, beside ours: each is installed into a folder of its own, bundled,
 * minified and gzipped in the same way as ours in bench/SIZES.md.
 *
 * `npm run bench:others -- [--write]`; `--write` puts it into bench/OTHERS.md, from which docs/reference/client.md
 * takes its figures.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sizeOf } from './documents/client-sizes.js'
import { describeMachine } from '../bench/machine.js'
import { show } from '../bench/page.js'
import { table } from '../bench/table.js'

/** By package, what a page imports to connect. */
const IMPORTS: Readonly<Record<string, string>> = {
  partysocket: 'WebSocket',
  'graphql-ws': 'createClient',
  phoenix: 'Socket',
  'socket.io-client': 'io',
  centrifuge: 'Centrifuge'
}

const folder = mkdtempSync(join(tmpdir(), 'others-'))
const rows: string[][] = []
try {
  // graphql-ws has graphql beside it, which is the larger part of what an app loads but not of what connects.
  const packages = [...Object.keys(IMPORTS), 'graphql']
  execFileSync('npm', ['install', '--silent', '--no-audit', '--no-fund', '--prefix', folder, ...packages], { stdio: 'inherit' })
  for (const [name, imported] of Object.entries(IMPORTS)) {
    const { version } = JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')) as { version: string }
    const { size } = await sizeOf(`import { ${imported} } from '${name}'; globalThis.used = ${imported}`, folder)
    rows.push([name, `\`${imported}\``, version, String(size), (size / 1_000).toFixed(1)])
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
show('OTHERS.md', `# What a page loads of other client libraries

\`npm run bench:others -- --write\`: bytes of ES modules, es2022, bundled and minified by esbuild, gzipped, of a page
that imports what connects. What they do is not the same: partysocket and graphql-ws have a WebSocket alone.

${describeMachine().join('  \n')}

## Size

${table(['package', 'imported', 'version', 'bytes', 'kB'], rows)}
`)
