import { gzipSync } from 'node:zlib'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t from 'tap'

/** Bytes of the ES module, minified and gzipped, that a page loads. docs/reference/client.md says what they hold. */
const MOST = 10_520

/** The same of `fastify-realtime/client/core`, and what each of its options adds. */
const MOST_OF_CORE = 8_350
const MOST_OF_OPTIONS = { iterate: 240, snapshot: 1_050, texts: 900, share: 1_950 }

/** The same of a page with the client and a contract of light builders, which is that of docs/reference/schemas.md. */
const MOST_OF_PAGE = 11_370

/** The same of a page that has the contract as types alone. */
const MOST_WITH_TYPES = 10_580

/** What the hooks of React and the composables of Vue, all of them, add to a page that has the client. */
const MOST_MORE = { react: 1_740, vue: 1_880 }

/** What both pages do. */
const USE = `
  room.on('added', ({ data }) => { console.log(data.text) })
  void room.send('add', { text: 'x', tags: [] })
`

/** Measures what a page loads before it does anything; a bundler loads by itself what is imported when it is needed. */
async function sizeOf (contents: string): Promise<{ size: number, files: string[] }> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: fileURLToPath(new URL('../..', import.meta.url)), loader: 'ts' },
    bundle: true,
    splitting: true,
    outdir: 'out',
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    minify: true,
    metafile: true,
    write: false,
    external: ['react', 'vue'],
    alias: { 'fastify-realtime/contract': fileURLToPath(new URL('../../lib/contract/index.ts', import.meta.url)) }
  })
  const loaded = new Set<string>()
  const load = (path: string): void => {
    if (loaded.has(path)) return
    loaded.add(path)
    for (const { kind, path: other, external } of metafile.outputs[path]!.imports) {
      if (kind === 'import-statement' && external !== true) load(other)
    }
  }
  load('out/stdin.js')
  return {
    size: outputFiles.filter(({ path }) => [...loaded].some((name) => path.endsWith(`/${name}`)))
      .reduce((sum, { contents }) => sum + gzipSync(contents, { level: 9 }).length, 0),
    files: [...loaded].flatMap((path) => Object.keys(metafile.outputs[path]!.inputs))
  }
}

t.test(`the client is at most ${MOST} bytes, and takes nothing else into a page`, async (t) => {
  const { size, files } = await sizeOf('export * from "./lib/client/index.ts"')
  t.comment(`${size} bytes`)
  t.ok(size <= MOST, `${size} bytes`)
  for (const file of files.filter((name) => name !== '<stdin>')) t.match(file, /lib\/(client|protocol)\/|lib\/structures\/refilled\.ts$/)
})

t.test(`the core is at most ${MOST_OF_CORE} bytes, and an option costs nothing where it is not used`, async (t) => {
  const CORE = 'export * from "./lib/client/core.ts"\n'
  const { size: core, files } = await sizeOf(CORE)
  t.comment(`core: ${core} bytes`)
  t.ok(core <= MOST_OF_CORE, `${core} bytes`)
  for (const [option, most] of Object.entries(MOST_OF_OPTIONS)) {
    const file = `lib/client/${option}.ts`
    t.notOk(files.includes(file), `${option} is not in the core`)
    const more = (await sizeOf(`${CORE}export * from "./${file}"`)).size - core
    t.comment(`${option}: ${more} bytes`)
    t.ok(more <= most, `${option}: ${more} bytes`)
  }
})

t.test(`a page with the client and a contract of light builders is at most ${MOST_OF_PAGE} bytes`, async (t) => {
  const { size, files } = await sizeOf(`
    import { connect } from './lib/client/index.ts'
    import { board } from './example/readme/light-rooms.ts'
    const room = connect('/ws').join(board.at({ id: '1' }))
    ${USE}
  `)
  t.comment(`${size} bytes`)
  t.ok(size <= MOST_OF_PAGE, `${size} bytes`)
  t.same(files.filter((name) => name.includes('node_modules')), [])
})

t.test(`a page with the client and the types of a contract is at most ${MOST_WITH_TYPES} bytes`, async (t) => {
  const { size, files } = await sizeOf(`
    import { connect } from './lib/client/index.ts'
    import type { board } from './example/readme/light-rooms.ts'
    const room = connect('/ws').join({ name: 'boards/1' } as ReturnType<typeof board.at>)
    ${USE}
  `)
  t.comment(`${size} bytes`)
  t.ok(size <= MOST_WITH_TYPES, `${size} bytes`)
  t.same(files.filter((name) => name.includes('light-rooms')), [])
})

for (const [name, most] of Object.entries(MOST_MORE)) {
  t.test(`fastify-realtime/${name} adds at most ${most} bytes to a page with the client`, async (t) => {
    const client = 'export * from "./lib/client/index.ts"'
    const { size, files } = await sizeOf(`${client}; export * from "./lib/${name}/index.ts"`)
    const more = size - (await sizeOf(client)).size
    t.comment(`${more} bytes`)
    t.ok(more <= most, `${more} bytes`)
    t.same(files.filter((file) => !/^(<stdin>|lib\/.*)$/.test(file)), [])
  })
}
