import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { WebSocket } from 'ws'
import { conformance } from '../../lib/gateway/commands/conformance.js'

const CLI = fileURLToPath(new URL('../../lib/gateway/cli.ts', import.meta.url))
const mute = { line: () => undefined, note: () => undefined }

t.test('where nobody can listen is said in one line', async (t) => {
  for (const url of [undefined, '8090', 'https://127.0.0.1:8090/ws']) {
    await t.rejects(conformance({ url }, mute), { message: /such as --url http:/ })
  }
  const other = createServer().listen(0, '127.0.0.1')
  t.teardown(() => { other.close() })
  await once(other, 'listening')
  const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}/ws`
  await t.rejects(conformance({ url }, mute), { message: new RegExp(`^cannot listen at ${url}: .*EADDRINUSE`) })
})

t.test('the command prints what is wrong with a client, and ends with status 1', async (t) => {
  const child = spawn(process.execPath, ['--import', 'tsx', CLI, 'conformance', '--url', 'http://127.0.0.1:0/ws'], {
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => { child.kill('SIGKILL') })
  let output = ''
  child.stdout.on('data', (chunk) => { output += String(chunk) })
  const closed = once(child, 'close')
  const [said] = await once(createInterface(child.stderr), 'line') as [string]
  const [url] = /http:\S+/.exec(said)!
  const socket = new WebSocket(`${url.replace('http', 'ws')}/conformance/1`, 'realtime.v1')
  // What it sends is no frame of the protocol: the kit says so, and does not wait for what would follow.
  socket.on('message', () => { socket.send('{"type":"heard"}') })
  socket.on('error', () => undefined)
  t.same(await closed, [1, null])
  t.match(output, /^TAP version 14\n1\.\.13\nok 1 - .*\nnot ok 2 - .*\n {2}# a message has a room and an id.*\nBail out! /)
})
