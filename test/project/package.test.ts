import { existsSync, readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import { bundle, linkedConsumer, smoke, type Heard } from '../../scripts/matrix/consumer.js'
import { run, runWell } from '../../scripts/matrix/run.js'
import { pack, ROOT, temporary } from '../../scripts/matrix/tarball.js'

const ALL: Heard = { websocket: true, sse: true, polling: true }
const skip = existsSync(`${ROOT}dist/index.js`) ? false : 'dist is not built: npm run build'

t.test('the packed package, as an app installs it', { skip }, async (t) => {
  const directory = await temporary((callback) => t.teardown(callback))
  const tarball = await pack(directory)
  const app = join(directory, 'app')
  await mkdir(app)
  await linkedConsumer(tarball, app)
  const unpacked = join(app, 'node_modules/fastify-realtime')
  const { exports } = JSON.parse(readFileSync(join(unpacked, 'package.json'), 'utf8')) as { exports: object }
  const paths = Object.keys(exports).filter((path) => !path.endsWith('.json'))
  const names = paths.map((path) => `fastify-realtime${path.slice(1)}`)

  await t.test('the tarball names no file that is not in it, by an import or by a source map', async (t) => {
    const held = new Set(tarball.files)
    const belongs = new RegExp('^(dist/.+\\.(js|d\\.ts)|README\\.md|LICENSE|CHANGELOG\\.md|package\\.json|realtime\\.schema\\.json|' +
      'llms\\.txt|skills/fastify-realtime/SKILL\\.md|SECURITY\\.md|docs/.+\\.(md|svg))$')
    t.same(tarball.files.filter((path) => !belongs.test(path)), [])
    const absent: string[] = []
    for (const path of tarball.files.filter((path) => path.startsWith('dist/'))) {
      const text = readFileSync(join(unpacked, path), 'utf8')
      for (const [, target] of text.matchAll(/(?:from|import\() ?'(\.[^']+)'/g)) {
        const named = join(dirname(path), path.endsWith('.d.ts') ? target!.replace(/\.js$/, '.d.ts') : target!)
        if (!held.has(named)) absent.push(`${path} imports ${target!}`)
      }
      const map = /^\/\/# sourceMappingURL=(\S+)/m.exec(text)?.[1]
      if (map !== undefined) absent.push(`${path} names ${map}, whose sources are not in the package`)
    }
    t.same(absent, [])
    t.ok(held.has('dist/index.js') && held.has('dist/client/index.d.ts'))
    t.ok(held.has('llms.txt') && held.has('skills/fastify-realtime/SKILL.md'), 'what assistants read is in it')
  })

  await t.test('each page to which the README leads is in it', async (t) => {
    const links = [...readFileSync(join(unpacked, 'README.md'), 'utf8').matchAll(/\]\(((?:docs\/|SECURITY)[^)#]*)/g)]
    const pages = links.map(([, path]) => path!).filter((path) => !path.endsWith('.png'))
    t.ok(pages.length > 40, `${pages.length} links`)
    const isHeld = (page: string): boolean => {
      return tarball.files.some((path) => page.endsWith('/') ? path.startsWith(page) : path === page)
    }
    t.same(pages.filter((page) => !isHeld(page)), [])
  })

  await t.test('its command runs', async (t) => {
    const { bin, version } = JSON.parse(readFileSync(join(unpacked, 'package.json'), 'utf8')) as {
      bin: Record<string, string>, version: string
    }
    const command = join(unpacked, bin['fastify-realtime']!)
    t.match(readFileSync(command, 'utf8'), /^#!\/usr\/bin\/env node\n/)
    t.match(await run(process.execPath, [command, '--version'], { cwd: app }), { code: 0, output: version })
  })

  await t.test('publint and arethetypeswrong find nothing wrong', async (t) => {
    const bin = (path: string): string => join(ROOT, 'node_modules', path)
    const linting = [bin('publint/src/cli.js'), tarball.path, '--strict']
    const lint = await run(process.execPath, linting, { cwd: directory })
    t.match(lint, { code: 0, output: /All good!/ })
    // That a package is ESM alone is no fault where each version of Node it supports can require it.
    const typing = [
      bin('@arethetypeswrong/cli/dist/index.js'), '--format', 'ascii', '--no-definitely-typed',
      '--ignore-rules', 'cjs-resolves-to-esm', '--', tarball.path
    ]
    const types = await run(process.execPath, typing, { cwd: directory })
    t.match(types, { code: 0, output: /No problems found/ })
  })

  const same = 'require and import give the same of each entry point, and require of the first one is the plugin'
  await t.test(same, async (t) => {
    const list = JSON.stringify(names)
    const script = `
      const names = ${list}
      const differ = []
      const plugin = require(names[0])
      const { name } = plugin[Symbol.for('plugin-meta')] ?? {}
      if (typeof plugin !== 'function' || name !== 'fastify-realtime') differ.push('no plugin')
      const all = names.map(async (name) => {
        const imported = await import(name)
        const required = require(name)
        const keys = Object.keys(imported).filter((key) => key !== 'module.exports')
        for (const key of keys) if (required[key] !== imported[key]) differ.push(name + ' ' + key)
        return [name, keys.length]
      })
      Promise.all(all).then((counts) => {
        console.log(JSON.stringify({ differ, counts: Object.fromEntries(counts) }))
      })`
    const evaluating = ['--no-warnings', '--input-type=commonjs', '--eval', script]
    const { stdout } = await runWell(process.execPath, evaluating, { cwd: app })
    const { differ, counts } = JSON.parse(stdout) as { differ: string[], counts: Record<string, number> }
    t.same(differ, [])
    t.same(Object.keys(counts), names)
    t.notOk(Object.values(counts).includes(0), JSON.stringify(counts))
  })

  await t.test('a class is one class by every path of the package, and is called as it was declared', async (t) => {
    const script = `
      const file = (path) => import(new URL('dist/' + path + '.js', 'file://' + process.argv[1] + '/'))
      const found = []
      for (const [name, ...places] of [
        ['Refusal', file('index'), file('adapters/index'), file('errors/refusal')],
        ['Packet', file('adapters/index'), file('protocol/packet')],
        ['MemoryAdapter', file('adapters/memory/adapter')],
        ['Undecodable', file('adapters/broker/decode')],
        ['redis', import('fastify-realtime/redis'), file('adapters/redis'), file('adapters/redis/adapter')],
        ['nats', import('fastify-realtime/nats'), file('adapters/nats'), file('adapters/nats/adapter')]
      ]) {
        const values = (await Promise.all(places)).map((module) => module[name])
        found.push([name, new Set(values).size, values[0].name])
      }
      console.log(JSON.stringify(found))`
    const evaluating = ['--no-warnings', '--input-type=module', '--eval', script, unpacked]
    const { stdout } = await runWell(process.execPath, evaluating, { cwd: app })
    const names = ['Refusal', 'Packet', 'MemoryAdapter', 'Undecodable', 'redis', 'nats']
    t.same(JSON.parse(stdout), names.map((name) => [name, 1, name]))
  })

  await t.test('an app in ES modules and one in CommonJS serve a client over each transport', async (t) => {
    t.same(await smoke(app, ['app.mjs']), ALL)
    t.same(await smoke(app, ['app.cjs']), ALL)
  })

  await t.test('TypeScript in CommonJS compiles by each way to import, and what it compiles to runs', async (t) => {
    const args = [
      'node_modules/typescript/bin/tsc', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'nodenext',
      '--types', 'node', '--allowJs', '--outDir', 'out', 'app.cts'
    ]
    const compiled = await run(process.execPath, args, { cwd: app })
    t.match(compiled, { code: 0, output: '' })
    t.same(await smoke(app, ['out/app.cjs']), ALL)
  })

  await t.test('esbuild makes a bundle for Node and one for browsers, and both run', async (t) => {
    t.same(await bundle(app, 'esbuild', 'app.mjs', 'out/server.cjs', 'node'), [])
    t.same(await smoke(app, ['out/server.cjs']), ALL)
    t.same(await bundle(app, 'esbuild', 'page.mjs', 'out/page.mjs', 'browser'), [])
    t.same(await smoke(app, ['run-page.mjs', 'out/page.mjs']), ALL)
  })

  await t.test('the import of ws says to each bundler in its own word that it is to be left alone', async (t) => {
    const text = readFileSync(join(unpacked, 'dist/client/load-socket.js'), 'utf8')
    t.match(text, /import\((?=[^)]*webpackIgnore: true)(?=[^)]*@vite-ignore)/)
  })

  await t.test('React Native gets a file without ws, and Metro no import by a variable, which it refuses', async (t) => {
    const manifest = readFileSync(join(unpacked, 'package.json'), 'utf8')
    const { 'react-native': instead } = JSON.parse(manifest) as { 'react-native': Record<string, string> }
    const ofPages = tarball.files
      .filter((path) => /^dist\/(client|react|vue|contract|ai)\/.+\.js$/.test(path))
      .map((path) => `./${path}`)
    const byVariable = ofPages.filter((path) =>
      /\bimport\((?:\s|\/\*[^]*?\*\/)*[^\s'"/]/.test(readFileSync(join(unpacked, path), 'utf8')))
    t.same(byVariable, Object.keys(instead))
    for (const path of Object.values(instead)) t.ok(ofPages.includes(path), path)
  })
})
