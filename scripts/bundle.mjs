/**
 * Puts what a server loads at its start into a few files, because Node takes longer to find and link 300 small ones
 * than to run them. Each file that went into them hands on its own exports from there, so that every path stays, and
 * every class is one class whichever path it was imported by. What browsers load too stays as it is, for their bundlers
 * to take apart, and so does what is imported when it is first needed.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const DIST = fileURLToPath(new URL('../dist', import.meta.url))
/** The files that are written, by what loads each; what several of them need goes into files of its own. */
const BUNDLES = {
  server: 'index.js',
  redis: 'adapters/redis/index.js',
  nats: 'adapters/nats/index.js',
  cluster: 'adapters/cluster/index.js'
}
const IN_BROWSERS = /^\.\/(client|contract|ai|react|vue)\b/

const { exports } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const pages = Object.entries(exports)
  .filter(([path]) => IN_BROWSERS.test(path))
  .map(([, { default: file }]) => relative('dist', file))

const COMMON = {
  absWorkingDir: DIST,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  packages: 'external',
  legalComments: 'none',
  write: false
}

/** @returns a function that finds what is loaded with a file, and with `isLater` also what is imported by it later */
async function graphOf (entryPoints) {
  const { metafile: { inputs } } = await build({ ...COMMON, entryPoints, outdir: 'out', metafile: true })
  return function reached (file, isLater, found = new Set()) {
    if (found.has(file)) return found
    found.add(file)
    for (const { path, kind, external } of inputs[file].imports) {
      if (external !== true && (isLater || kind !== 'dynamic-import')) reached(path, isLater, found)
    }
    return found
  }
}

/** @returns for each bundle the files that it hands on, each in one bundle alone */
async function contents () {
  const reached = await graphOf([...Object.values(BUNDLES), ...pages])
  const taken = new Set(pages.flatMap((page) => [...reached(page, true)]))
  return Object.entries(BUNDLES).map(([bundle, entry]) => {
    const files = [...reached(entry, false)].filter((file) => !taken.has(file))
    for (const file of files) taken.add(file)
    return { bundle, files }
  })
}

/** @returns what a file exports, with names that no other file's exports have */
async function exportsOf (file) {
  const prefix = file.replace(/\.js$/, '').replace(/\W/g, '_')
  const names = Object.keys(await import(pathToFileURL(join(DIST, file)).href))
  return names.map((name) => ({
    name: /^\w+$/.test(name) ? name : JSON.stringify(name),
    own: `${prefix}$${name.replace(/\W/g, '_')}`
  }))
}

function handOn (from, names) {
  return `export {\n${names.join(',\n')}\n} from '${from.startsWith('.') ? from : `./${from}`}'\n`
}

/** Gives classes that name themselves their names back: esbuild calls them `_Name` inside, which errors would show. */
function named (text) {
  const inner = [...text.matchAll(/^var (\w+) = class (_\1)\b/gm)].map(([, , name]) => name)
  return inner.length === 0 ? text : text.replace(new RegExp(`\\b(?:${inner.join('|')})\\b`, 'g'), (name) => name.slice(1))
}

async function main () {
  const bundles = await contents()
  const files = bundles.flatMap((each) => each.files)
  const exported = new Map(await Promise.all(files.map(async (file) => [file, await exportsOf(file)])))
  const textOf = (bundle) => bundles.find((each) => each.bundle === bundle).files
    .map((file) => handOn(file, exported.get(file).map(({ name, own }) => `  ${name} as ${own}`))).join('')
  const { outputFiles } = await build({
    ...COMMON,
    entryPoints: Object.fromEntries(bundles.map(({ bundle }) => [bundle, `bundle:${bundle}`])),
    outdir: '.',
    chunkNames: 'shared-[hash]',
    plugins: [{
      name: 'bundles',
      setup ({ onResolve, onLoad }) {
        onResolve({ filter: /^bundle:/ }, ({ path }) => ({ path: path.slice('bundle:'.length), namespace: 'bundle' }))
        onLoad({ filter: /./, namespace: 'bundle' }, ({ path }) => ({ contents: textOf(path), resolveDir: DIST }))
        onResolve({ filter: /^\./ }, ({ path, resolveDir, kind }) => {
          const file = relative(DIST, join(resolveDir, path))
          return exported.has(file) && kind !== 'dynamic-import' ? undefined : { path: `./${file}`, external: true }
        })
      }
    }]
  })
  for (const { path, text } of outputFiles) writeFileSync(path, named(text))
  for (const { bundle, files } of bundles) {
    for (const file of files) {
      const names = exported.get(file)
      if (names.length === 0) continue
      const target = relative(dirname(file), `${bundle}.js`)
      writeFileSync(join(DIST, file), handOn(target, names.map(({ name, own }) => `  ${own} as ${name}`)))
    }
  }
}

await main()
