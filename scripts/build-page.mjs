/**
 * Builds the code and the style of the dashboard's page into one module of lib, so that the package serves the page
 * from wherever it was bundled to. The module is committed: a test compares it with what is built.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const PAGE = new URL('../lib/stats/dashboard/page/', import.meta.url)
const BUILT = new URL('../lib/stats/dashboard/built.ts', import.meta.url)

async function bundled (file) {
  const { outputFiles: [{ text }] } = await build({
    // The names of the files stand in what is built.
    absWorkingDir: fileURLToPath(new URL('..', import.meta.url)),
    entryPoints: [fileURLToPath(new URL(file, PAGE))],
    bundle: true,
    format: 'iife',
    target: 'es2022',
    charset: 'ascii',
    minify: true,
    legalComments: 'none',
    write: false
  })
  return text.trim()
}

/** @returns the text of the module */
export async function builtPage () {
  const [script, style] = await Promise.all([bundled('main.ts'), bundled('style.css')])
  return [
    '// Made from the files in page/ by scripts/build-page.mjs: change those, not this.',
    `export const SCRIPT = ${JSON.stringify(script)}`,
    `export const STYLE = ${JSON.stringify(style)}`,
    ''
  ].join('\n')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = await builtPage()
  if (text !== readFileSync(BUILT, { encoding: 'utf8', flag: 'a+' })) writeFileSync(BUILT, text)
}
