import { readFileSync } from 'node:fs'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import Fastify, { type FastifyPluginCallback } from 'fastify'
import t, { type Test } from 'tap'
import { ROOT, temporary } from '../../scripts/matrix/tarball.js'
import realtime from '../../lib/index.js'

const INSTALLED = join(ROOT, 'node_modules')

/** Another copy of @fastify/websocket, as an app has it that pins one: that of this checkout, under another version. */
async function copyOf (t: Test, version: string, change: (text: string) => string): Promise<FastifyPluginCallback> {
  const directory = await temporary((callback) => t.teardown(callback))
  const copy = join(directory, 'node_modules/@fastify/websocket')
  await mkdir(copy, { recursive: true })
  for (const name of await readdir(INSTALLED)) {
    if (!name.startsWith('@')) await symlink(join(INSTALLED, name), join(directory, 'node_modules', name))
  }
  await writeFile(join(copy, 'package.json'), JSON.stringify({ name: '@fastify/websocket', version }))
  await writeFile(join(copy, 'index.js'), change(readFileSync(join(INSTALLED, '@fastify/websocket/index.js'), 'utf8')))
  return createRequire(join(directory, 'app.js'))('@fastify/websocket') as FastifyPluginCallback
}

async function start (t: Test, own: FastifyPluginCallback): Promise<void> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(own)
  await app.register(realtime, { jwt: { secret: 'a test' } })
  await app.ready()
}

/** What stood in the older versions in its place is of no account here: that it differs is. */
const older = (text: string): string => text.replaceAll('onUpgradeSocketError', 'onOlderError')

for (const version of ['11.3.1', '11.2.9', '10.9.9']) {
  t.test(`an app's own @fastify/websocket ${version} is refused at start by its version`, async (t) => {
    const error = await start(t, await copyOf(t, version, older)).then(() => undefined, (error: Error) => error)
    t.match(error, { code: 'REALTIME_ERR_PLUGIN' })
    const message = `@fastify/websocket ${version}; this plugin needs 11.3.2 or newer: npm install`
    t.ok(error?.message.includes(message), String(error))
  })
}

for (const version of ['11.3.2', '11.4.0', '12.0.0']) {
  t.test(`an app's own @fastify/websocket ${version} is taken, though older copies are in the process`, async (t) => {
    await copyOf(t, '11.0.0', older)
    const own = await copyOf(t, version, (text) => text.replaceAll('onUpgradeSocketError', 'onNewerError'))
    await t.resolves(start(t, own))
  })
}
