import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { blocksOf, documentOf, PAGES, quotedText, ROOT } from '../helpers/documents.js'
import { freePort, missing, until } from '../helpers/servers.js'

const skip = existsSync(`${ROOT}dist/gateway/cli.js`) ? missing('curl', 'openssl') : 'dist is not built: npm run build'

/** A command of a block of shell, without its comment. */
interface Command { readonly page: string, readonly text: string }

/** What brings packages and an empty folder, and is not typed here. */
const SETUP = /^(?:npm (?:ci|init|install|pkg set|test$)|mkdir|cd)\b/

const commands: readonly Command[] = PAGES.flatMap(blocksOf)
  .filter(({ language }) => language === 'sh')
  .flatMap(({ path: page, text }) => text.replaceAll('\\\n', '').split('\n')
    .flatMap((line) => line.replace(/\s+# .*$/, '').split(' && '))
    .map((each) => ({ page, text: each.trim().replaceAll(/ {2,}/g, ' ') })))

const typed = new Set<Command>()

/** The command of a page that begins so, which a test of this file types. */
function commandOf (page: string, begins: string): string {
  const found = commands.find((each) => each.page === page && each.text === begins) ??
    commands.find((each) => each.page === page && each.text.startsWith(begins))
  if (found === undefined) throw new Error(`${page} has no command "${begins}"`)
  typed.add(found)
  return found.text
}

const GATEWAY = 'docs/guides/gateway.md'
const SMALLEST = 'docs/guides/smallest-app.md'
const gateway = {
  secret: commandOf(GATEWAY, 'export JWT_SECRET='),
  check: commandOf(GATEWAY, 'npx fastify-realtime serve --config realtime.json --check'),
  serve: commandOf(GATEWAY, 'npx fastify-realtime serve --config realtime.json'),
  token: commandOf(GATEWAY, 'export REALTIME_TOKEN='),
  publish: commandOf(GATEWAY, 'npx fastify-realtime publish'),
  tail: commandOf(GATEWAY, 'npx fastify-realtime tail'),
  stats: commandOf('docs/operate/stats.md', 'curl -fsS')
}
const smallest = {
  start: commandOf('docs/operate/deploy.md', 'node --initial-old-space-size=512 server.js'),
  token: commandOf(SMALLEST, 'TOKEN=$(curl'),
  listen: commandOf(SMALLEST, 'curl -N'),
  say: commandOf(SMALLEST, 'curl -H')
}
const page = commandOf('docs/guides/plain-page.md', 'npx tsx start.ts')
const bundle = commandOf('docs/guides/slow-links.md', 'npx esbuild page.ts')
const look = commandOf('docs/tutorial/3-keep-what-was-said.md', 'npx tsx -e')
const kit = commandOf('docs/reference/wire-protocol.md', 'npx fastify-realtime conformance')

/** By which test another command is run, and what that test says of it. */
const ELSEWHERE: ReadonlyArray<readonly [begins: string, test: string, says: string]> = [
  ['npm start', 'project/example', "startExample(t, 'chat'"],
  // By whoever runs this test.
  ['npm run gateway', 'project/gateway-example', 'example/gateway/start.ts'],
  ['curl 127.0.0.1:3000/ws/chat/1 ', 'project/gateway-example', '/^curl 127'],
  ['npm run bridge:kafka', 'project/bridges', 'example/kafka/start.ts'],
  ['npm run bridge:postgres', 'project/bridges', 'example/postgres/start.ts'],
  ['npm run cores', 'project/cores', 'example/cores/start.ts'],
  ['npm run cluster', 'project/cluster', 'example/cluster/start.ts'],
  ['curl -sS "$REALTIME_URL/api/publish"', 'server-api/languages', 'publish.sh'],
  ['python3 example/python/conformance.py', 'conformance/kit', 'example/python/conformance.py'],
  ['npm run support', 'project/documented-apps', "'server.ts'"],
  ['npx tsx app.ts', 'project/documented-apps', "'app.ts'"],
  ['JWT_SECRET=any-secret-of-32-characters-or-more npx tsx app.ts', 'project/documented-apps', 'JWT_SECRET: SECRET'],
  ['npx tsx --test support.test.ts', 'project/documented-apps', "'support.test.ts'"]
]

t.test('each command of a page is typed here or run by a named test, but for what brings packages', async (t) => {
  t.ok(commands.length > 50, `${commands.length} commands`)
  const unknown = commands.filter((command) => !SETUP.test(command.text) && !typed.has(command) &&
    !ELSEWHERE.some(([begins]) => command.text.startsWith(begins)))
  t.same(unknown, [])
  for (const [begins, test, says] of ELSEWHERE) {
    t.ok(commands.some(({ text }) => text.startsWith(begins)), `a page has ${begins}`)
    t.ok(documentOf(`test/${test}.test.ts`).includes(says), `${test} runs ${begins}`)
  }
})

t.test('what a page installs is what the tests run with, of the same major where it says one', async (t) => {
  const manifest = JSON.parse(documentOf('package.json')) as Record<string, Record<string, string>>
  const ranges = { ...manifest.peerDependencies, ...manifest.dependencies, ...manifest.devDependencies }
  const named = commands.filter(({ text }) => text.startsWith('npm install'))
    .flatMap(({ page, text }) => text.split(' ').slice(2).map((word) => ({ page, word })))
    .filter(({ word }) => !word.startsWith('-'))
  t.ok(named.length > 20, `${named.length} packages`)
  for (const { page, word } of named) {
    const [, name, major] = /^(@?[^@]+)(?:@(\d+))?$/.exec(word)!
    if (name === 'fastify-realtime') continue
    const range = ranges[name!]
    t.ok(range !== undefined, `${page}: ${word}`)
    if (major !== undefined) t.match(range, new RegExp(`^[~^]?${major}\\b`), `${page}: ${word}`)
  }
})

/** A folder as its reader has it behind `npm install`. */
function folder (t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'typed-'))
  t.teardown(() => { rmSync(directory, { recursive: true }) })
  const commands = join(directory, 'node_modules/.bin')
  mkdirSync(commands, { recursive: true })
  for (const name of ['fastify', '@sinclair/typebox', 'node-sqlite3-wasm']) {
    mkdirSync(dirname(join(directory, 'node_modules', name)), { recursive: true })
    symlinkSync(`${ROOT}node_modules/${name}`, join(directory, 'node_modules', name))
  }
  symlinkSync(ROOT, join(directory, 'node_modules/fastify-realtime'))
  const { bin } = JSON.parse(documentOf('package.json')) as { bin: Record<string, string> }
  const script = (path: string, text: string): void => {
    writeFileSync(path, `#!/bin/sh\n${text}\n`)
    chmodSync(path, 0o755)
  }
  for (const [name, file] of Object.entries(bin)) script(join(commands, name), `exec node '${ROOT}${file}' "$@"`)
  for (const name of ['esbuild', 'tsx']) script(join(commands, name), `exec '${ROOT}node_modules/.bin/${name}' "$@"`)
  // What npx does with a command that is installed, without the second that it takes for it.
  mkdirSync(join(directory, 'bin'))
  script(join(directory, 'bin/npx'), 'exec "./node_modules/.bin/$@"')
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
  return directory
}

interface Terminal {
  type (line: string): void
  /** Waits until what is on the screen matches. @returns the groups of the match */
  shows (pattern: RegExp): Promise<string[]>
}

/** A shell into which lines are typed. */
function terminal (t: Test, cwd: string, variables: Readonly<Record<string, string>> = {}): Terminal {
  const shell = spawn('bash', {
    cwd,
    env: { PATH: `${cwd}/bin:${process.env.PATH!}`, HOME: process.env.HOME, ...variables },
    stdio: 'pipe',
    // What it has started ends with it, by the group.
    detached: true
  })
  const ended = once(shell, 'close')
  t.teardown(async () => {
    process.kill(-shell.pid!, 'SIGKILL')
    await ended
  })
  let screen = ''
  for (const stream of [shell.stdout, shell.stderr]) stream.on('data', (chunk) => { screen += String(chunk) })
  return {
    type: (line) => { shell.stdin.write(`${line}\n`) },
    async shows (pattern) {
      let found: RegExpExecArray | null = null
      await until(`the screen shows ${String(pattern)}`, () => (found = pattern.exec(screen)) !== null)
        .catch((error: unknown) => { throw new Error(`${String(error)}\n${screen}`) })
      t.pass(`the screen shows ${String(pattern)}`)
      return [...found!].slice(1)
    }
  }
}

t.test('the gateway from a shell: its config is checked and served, what is published is tailed', { skip }, async (t) => {
  const directory = folder(t)
  const port = await freePort()
  const config = blocksOf(GATEWAY).find(({ language, text }) => language === 'json' && text.includes('"rooms"'))!
  writeFileSync(join(directory, 'realtime.json'), JSON.stringify({
    ...JSON.parse(config.text) as object, listen: { port }, stats: { token: { env: 'SCRAPE_TOKEN' } }
  }))
  const variables = { REALTIME_URL: `http://127.0.0.1:${port}/ws`, SCRAPE_TOKEN: 'a-token-of-at-least-32-bytes-here' }
  const first = terminal(t, directory, variables)
  first.type(gateway.secret)
  first.type(`${gateway.check} && echo 'checked'`)
  first.type('echo "secret=$JWT_SECRET"')
  await first.shows(/^checked$/m)
  const [secret] = await first.shows(/^secret=(.{40,})$/m)
  first.type(gateway.serve)
  await first.shows(/Server listening/)
  const second = terminal(t, directory, { ...variables, JWT_SECRET: secret! })
  second.type(gateway.token)
  second.type(gateway.publish)
  await second.shows(/"type":"ack"/)
  second.type(gateway.stats.replace('127.0.0.1:3000', `127.0.0.1:${port}`))
  await second.shows(/^realtime_messages_total\S* 1$/m)
  second.type(gateway.tail)
  await second.shows(/"type":"said".*"data":\{"text":"hello","by":"ada"\}/)
})

t.test('the smallest app from a shell: who listens by curl hears what another curl says', { skip }, async (t) => {
  const directory = folder(t)
  writeFileSync(join(directory, 'server.js'), quotedText('example/smallest/app.js'))
  const server = terminal(t, directory, { PORT: '0' })
  server.type(smallest.start)
  const [host] = await server.shows(/http:\/\/(127\.0\.0\.1:\d+)/)
  const here = (command: string): string => command.replace('localhost:3000', host!)
  const shell = terminal(t, directory)
  shell.type(here(smallest.token))
  shell.type(`${here(smallest.listen)} &`)
  await shell.shows(/^data:.*"type":"welcome"/m)
  shell.type(here(smallest.say))
  await shell.shows(/^data:.*"type":"said".*"text":"hello"/m)
})

t.test('a plain page is served and a page for a slow link is bundled, each by its command', { skip }, async (t) => {
  const directory = folder(t)
  const port = await freePort()
  for (const { quoted, text } of blocksOf('docs/guides/plain-page.md')) {
    if (quoted?.startsWith('example/docs/plain-page/') !== true) continue
    writeFileSync(join(directory, basename(quoted)), text.replace('port: 3000', `port: ${port}`))
  }
  const shell = terminal(t, directory)
  shell.type(`${page} &`)
  for (const name of ['rooms', 'client']) {
    writeFileSync(join(directory, `${name}.ts`), quotedText(`example/docs/slow-links/${name}.ts`))
  }
  writeFileSync(join(directory, 'first-load.ts'), quotedText('example/readme/first-load.ts'))
  writeFileSync(join(directory, 'page.ts'), "import { connect } from 'fastify-realtime/client/core'\n" +
    "import { showPlant } from './client.js'\nObject.assign(window, { connect, showPlant })\n")
  shell.type(`${bundle} && echo 'bundled'`)
  await shell.shows(/^bundled$/m)
  t.match(readFileSync(join(directory, 'public/page.js'), 'utf8'), /plants\//)
  await shell.shows(new RegExp(`http://127\\.0\\.0\\.1:${port}`))
  t.match(await (await fetch(`http://127.0.0.1:${port}/`)).text(), /\/ws\/client\.js/)
})

t.test('what was said is read out of the database by the command of the tutorial', { skip }, async (t) => {
  const directory = folder(t)
  writeFileSync(join(directory, 'database.ts'), quotedText('example/support/database.ts'))
  const { openMessages } = await import('../../example/support/database.js')
  const messages = openMessages(join(directory, 'support.db'))
  messages.add({ customer: 'ada', by: 'ada', text: 'keep this' }, 'x')
  messages.close()
  const shell = terminal(t, directory)
  shell.type(look)
  await shell.shows(/'ada'.*'keep this'/)
})

t.test('the kit for clients of other languages says where it waits for the client', { skip }, async (t) => {
  const port = await freePort()
  const shell = terminal(t, folder(t))
  shell.type(kit.replace('8090', String(port)))
  await shell.shows(new RegExp(`127\\.0\\.0\\.1:${port}/ws`))
})
