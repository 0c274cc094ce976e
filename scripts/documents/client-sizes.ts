import { gzipSync } from 'node:zlib'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'esbuild'
import { CLIENT_MODULE } from '../../lib/endpoint/client-script/built.js'
import { builtGlobal } from '../build-client.mjs'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CORE = 'export * from "./lib/client/core.ts"\n'
const WHOLE = 'export * from "./lib/client/index.ts"\n'

/** What is added to the core, and where it is. */
export const OPTIONS: Readonly<Record<string, string>> = {
  members: 'parts/members',
  liveState: 'parts/live-state',
  answers: 'parts/answers',
  serverJoins: 'parts/server-joins',
  tickets: 'parts/tickets',
  wake: 'parts/wake',
  diagnosis: 'parts/diagnosis',
  upward: 'parts/upward',
  roomLimit: 'parts/room-limit',
  packageSocket: 'parts/package-socket',
  oldEngines: 'parts/old-engines',
  growingTexts: 'texts',
  iterate: 'iterate',
  'snapshot, reload': 'snapshot',
  share: 'share'
}

/** What the pages do. */
const USE = `
  room.on('added', ({ data }) => { console.log(data.text) })
  void room.send('add', { text: 'x', tags: [] })
`
export const PAGES = {
  builders: `
    import { connect } from './lib/client/index.ts'
    import { board } from './example/readme/light-rooms.ts'
    const room = connect('/ws').join(board.at({ id: '1' }))
    ${USE}
  `,
  typebox: `
    import { connect } from './lib/client/index.ts'
    import { game } from './example/readme/rooms.ts'
    const room = connect('/ws').join(game.at({ id: '1' }))
    room.on('moved', ({ data }) => { console.log(data.from) })
    void room.send('move', { from: 1, to: 2 })
  `,
  types: `
    import { connect } from './lib/client/index.ts'
    import type { board } from './example/readme/light-rooms.ts'
    const room = connect('/ws').join({ name: 'boards/1' } as ReturnType<typeof board.at>)
    ${USE}
  `
}

/** What a page loads before it does anything. */
export interface Measured {
  /** Bytes of the modules, minified and gzipped. */
  readonly size: number
  /** The files that are in it. */
  readonly files: readonly string[]
}

/** Leaves a file out: what it exports is there and does nothing. */
function without (file: string): Plugin {
  return {
    name: 'without',
    setup ({ onLoad }) {
      onLoad({ filter: new RegExp(`/${file}$`) }, async ({ path }) => {
        const { metafile } = await build({
          entryPoints: [path], bundle: true, format: 'esm', write: false, metafile: true, outdir: 'out', external: ['./*', '../*']
        })
        const [output] = Object.values(metafile.outputs)
        return { contents: output!.exports.map((name) => `export function ${name} () {}`).join('\n') }
      })
    }
  }
}

/**
 * Measures a module of a page; a bundler loads by itself what is imported when it is needed.
 *
 * @param resolveDir folder from which the module imports
 * @param missing end of the path of a file that is left out
 */
export async function sizeOf (contents: string, resolveDir = ROOT, missing?: string): Promise<Measured> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir, loader: 'ts' },
    absWorkingDir: ROOT,
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
    alias: { 'fastify-realtime/contract': fileURLToPath(new URL('../../lib/contract/index.ts', import.meta.url)) },
    plugins: missing === undefined ? [] : [without(missing)]
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

/**
 * The core, what each option adds to it, the whole client, what the hooks add to that, pages of a bundler, and the
 * files that a page takes without one.
 */
export async function clientSizes (): Promise<Record<string, Measured>> {
  const core = await sizeOf(CORE)
  const whole = await sizeOf(WHOLE)
  const sizes: Record<string, Measured> = { core, whole }
  for (const [name, file] of Object.entries(OPTIONS)) {
    const { size, files } = await sizeOf(`${CORE}export * from "./lib/client/${file}.ts"`)
    sizes[name] = { size: size - core.size, files }
  }
  for (const name of ['react', 'vue']) {
    const { size, files } = await sizeOf(`${WHOLE}export * from "./lib/${name}/index.ts"`)
    sizes[name] = { size: size - whole.size, files }
  }
  for (const [name, page] of Object.entries(PAGES)) sizes[name] = await sizeOf(page)
  for (const [name, text] of [['/ws/client.js', CLIENT_MODULE], ['client.global.js', await builtGlobal()]] as const) {
    sizes[name] = { size: gzipSync(text, { level: 9 }).length, files: [] }
  }
  return sizes
}

/** Bytes by which the core is smaller without each of its files. */
export async function costsOfCore (): Promise<Array<readonly [file: string, bytes: number]>> {
  const { size, files } = await sizeOf(CORE)
  const own = files.filter((file) => file !== '<stdin>' && !/\/(core|client)\.ts$/.test(file))
  const costs = await Promise.all(own.map(async (file) => {
    const { size: left } = await sizeOf(CORE, ROOT, file)
    return [file, size - left] as const
  }))
  return costs.filter(([, bytes]) => bytes > 10).sort(([, a], [, b]) => b - a)
}

const row = (...cells: ReadonlyArray<string | number>): string => `| ${cells.join(' | ')} |`

/** bench/SIZES.md: what a page loads, in the form from which documents take their figures. */
export async function sizesDocument (): Promise<string> {
  const {
    core, whole, react, vue, builders, types, typebox, '/ws/client.js': module, 'client.global.js': global, ...options
  } = await clientSizes()
  const wholeRow = ([name, { size }]: [string, Measured]): string => row(name, size, (size / 1_000).toFixed(1))
  return [
    '# What a page loads',
    '',
    'Bytes of ES modules, es2022, bundled and minified by esbuild, gzipped. `npm run docs:figures` writes this file, and',
    '`test/client/size.test.ts` compares it with the code.',
    '',
    '## Whole',
    '',
    row('what', 'bytes', 'kB'),
    row('---', '---', '---'),
    ...Object.entries({ core: core!, whole: whole!, builders: builders!, types: types!, typebox: typebox! })
      .map(wholeRow),
    '',
    '`builders`, `types` and `typebox` are pages with the client and a contract: of the light builders, of its types',
    'alone, of TypeBox.',
    '',
    '## Without a bundler',
    '',
    row('what', 'bytes', 'kB'),
    row('---', '---', '---'),
    ...Object.entries({ '`GET /ws/client.js`': module!, '`dist/client.global.js`': global! }).map(wholeRow),
    '',
    '## Added to the core',
    '',
    row('part', 'bytes'),
    row('---', '---'),
    ...Object.entries(options).map(([name, { size }]) => row(`\`${name}\``, size)),
    '',
    '## Added to the client',
    '',
    row('what', 'bytes'),
    row('---', '---'),
    ...Object.entries({ react, vue }).map(([name, each]) => row(`\`/${name}\``, each!.size)),
    '',
    '## Added to a page by a contract',
    '',
    row('what', 'bytes', 'kB'),
    row('---', '---', '---'),
    wholeRow(['TypeBox', { size: typebox!.size - types!.size, files: [] }]),
    '',
    '## Files of the core',
    '',
    row('file', 'bytes that leaving it out saves, with what only it uses'),
    row('---', '---'),
    ...(await costsOfCore()).map(([file, bytes]) => row(`\`${file.replace('lib/', '')}\``, bytes)),
    ''
  ].join('\n')
}
