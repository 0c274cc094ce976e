/**
 * `node build.mjs <bundler> <entry> <out> <node | browser>`: bundles everything that the entry imports, as an ES module
 * for a browser and as CommonJS for Node. Prints one line, `WARNINGS` and a JSON array of what the bundler found wrong
 * with files of fastify-realtime.
 */
import { basename, dirname } from 'node:path'

const [bundler, entry, out, target] = process.argv.slice(2)
const isPage = target === 'browser'

const bundlers = {
  async esbuild () {
    const { build } = await import('esbuild')
    const format = isPage ? 'esm' : 'cjs'
    const { warnings } = await build({
      entryPoints: [entry], outfile: out, bundle: true, platform: target, format, logLevel: 'silent'
    })
    return warnings.map(({ text, location }) => `${location?.file}: ${text}`)
  },
  async rollup () {
    const { rollup } = await import('rollup')
    const { default: resolve } = await import('@rollup/plugin-node-resolve')
    const { default: commonjs } = await import('@rollup/plugin-commonjs')
    const { default: json } = await import('@rollup/plugin-json')
    const warnings = []
    const plugins = [resolve({ browser: isPage, preferBuiltins: !isPage }), commonjs(), json()]
    const bundle = await rollup({
      input: entry,
      plugins,
      onwarn: ({ message, loc, id, ids }) => { warnings.push(`${loc?.file ?? id ?? ids?.join()}: ${message}`) }
    })
    await bundle.write({ file: out, format: isPage ? 'es' : 'cjs', inlineDynamicImports: true })
    return warnings
  },
  async webpack () {
    const { default: webpack } = await import('webpack')
    const file = { path: dirname(out), filename: basename(out) }
    const page = {
      target: 'web',
      experiments: { outputModule: true },
      output: { ...file, library: { type: 'module' }, chunkFormat: 'module' }
    }
    const oneChunk = new webpack.optimize.LimitChunkCountPlugin({ maxChunks: 1 })
    const server = { target: 'node20', output: file, plugins: [oneChunk] }
    const config = { mode: 'production', entry, ...(isPage ? page : server), optimization: { minimize: isPage } }
    const stats = await new Promise((resolve, reject) => {
      webpack(config, (error, result) => error ? reject(error) : resolve(result))
    })
    const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true })
    // Other packages load what is optional in them by `require` in a `try`: webpack tells of it as an error of theirs.
    const ours = errors.find(({ moduleName = '' }) => !/node_modules\/(?!fastify-realtime)/.test(moduleName))
    if (ours) throw new Error(`${ours.moduleName}: ${ours.message}`)
    return warnings.map(({ moduleName, message }) => `${moduleName}: ${message}`)
  },
  async vite () {
    const { build } = await import('vite')
    const warnings = []
    const note = (text) => { warnings.push(text) }
    const nothing = () => {}
    const logger = {
      info: nothing,
      clearScreen: nothing,
      warn: note,
      warnOnce: note,
      error: note,
      hasErrorLogged: () => false,
      hasWarned: false
    }
    const output = { entryFileNames: basename(out), format: isPage ? 'es' : 'cjs' }
    await build({
      configFile: false,
      customLogger: logger,
      ...(isPage ? {} : { ssr: { noExternal: true } }),
      build: {
        outDir: dirname(out),
        emptyOutDir: false,
        ...(isPage
          ? { lib: { entry, formats: ['es'], fileName: () => basename(out) } }
          : { ssr: entry, rollupOptions: { output } })
      }
    })
    return warnings
  }
}

const warnings = await bundlers[bundler]()
const ours = warnings.filter((text) => /node_modules.fastify-realtime.dist/.test(text))
console.log(`WARNINGS ${JSON.stringify(ours)}`)
