import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { sizesDocument } from './documents/client-sizes.js'
import { fill } from './documents/fill.js'
import { llms } from './documents/llms.js'

/**
 * Brings the figures and tables of README.md, example/README.md, bench/AIMS.md and docs/ up to date with bench/, lib/
 * and example/, and llms.txt with docs/.
 */
const root = new URL('../', import.meta.url)
// The documents take figures of it.
writeFileSync(new URL('bench/SIZES.md', root), await sizesDocument())
const pages = readdirSync(new URL('docs/', root), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.md') && !/^(api|\.vitepress)\//.test(path))
for (const path of ['README.md', 'example/README.md', 'bench/AIMS.md', ...pages.map((page) => `docs/${page}`)]) {
  const file = new URL(path, root)
  const text = readFileSync(file, 'utf8')
  const filled = fill(text)
  if (filled === text) continue
  writeFileSync(file, filled)
  console.log(`${path} is up to date now`)
}
writeFileSync(new URL('llms.txt', root), llms())
