/** The gateway and a backend in Python, each a process of its own, with secrets made for this run. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { freePort } from '../programs.js'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const port = process.env.PORT === '0' ? await freePort() : Number(process.env.PORT ?? 3000)
const backendPort = process.env.PORT === '0' ? await freePort() : 8000
const secret = (): string => randomBytes(32).toString('base64')
const env = {
  ...process.env,
  JWT_SECRET: secret(),
  HOOK_SECRET: `whsec_${secret()}`,
  API_KEY: secret(),
  GATEWAY: `http://127.0.0.1:${port}/ws`,
  BACKEND_PORT: String(backendPort)
}
// Elsewhere the config stays as it is; here the backend may be at another port.
const directory = await mkdtemp(join(tmpdir(), 'gateway-'))
const config = join(directory, 'realtime.json')
await writeFile(config, (await readFile(here('realtime.json'), 'utf8')).replace('127.0.0.1:8000', `127.0.0.1:${backendPort}`))

const backend = spawn('python3', [here('backend.py')], { env, stdio: ['ignore', 'inherit', 'inherit'] })
const gateway = spawn(process.execPath, [
  here('../../dist/gateway/cli.js'), 'serve', '--config', config, '--port', String(port)
], { env, stdio: ['ignore', 'pipe', 'inherit'] })

const ending = once(gateway, 'close').then(([code]) => code as number | null)
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => { gateway.kill('SIGTERM') })
backend.once('error', (error) => {
  console.error(`python3 cannot be run (${error.message}): install it, for the backend of this example`)
  gateway.kill('SIGTERM')
})
const user = `$(curl -s '127.0.0.1:${backendPort}/token?user=ada')`
const help = `
The gateway is at http://127.0.0.1:${port}/ws. From another shell:
  curl 127.0.0.1:${port}/ws/chat/1 -H "authorization: Bearer ${user}" -H 'content-type: application/json' -d '{"type":"say","data":{"text":"hello"}}'
  curl -N '127.0.0.1:${port}/ws/chat/1?last=10' -H "authorization: Bearer ${user}" -H 'accept: text/event-stream'
`
let isListening = false
for await (const line of createInterface(gateway.stdout)) {
  console.log(line)
  if (isListening || !line.includes('Server listening')) continue
  isListening = true
  console.log(help)
}

process.exitCode = await ending ?? 1
// It heard last who has left because the gateway ended.
backend.kill('SIGTERM')
await rm(directory, { recursive: true })
