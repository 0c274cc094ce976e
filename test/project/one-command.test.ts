import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import t from 'tap'
import { EXAMPLES } from '../../scripts/documents/example-lines.js'
import { documentOf, ROOT } from '../helpers/documents.js'
import { startProgram } from '../helpers/example.js'

const hasPython = spawnSync('python3', ['--version']).status === 0
const notBuilt = existsSync(`${ROOT}dist/index.js`) ? false : 'dist is not built: npm run build'

t.test('each example is one script of package.json, which builds before it runs a file of that example', async (t) => {
  const { scripts } = JSON.parse(documentOf('package.json')) as { scripts: Record<string, string> }
  for (const { folder, command } of EXAMPLES) {
    t.match(command, /^npm (?:start|run [a-z:]+)$/, folder)
    const [, file] = /^npm run build && node (?:--import tsx )?(\S+)$/.exec(scripts[command.split(' ').at(-1)!] ?? '') ?? []
    t.ok(file?.startsWith(`example/${folder}/`) === true && existsSync(`${ROOT}${file}`), `${command}: ${file}`)
  }
})

t.test('the smallest example serves its page, a token and the client', { skip: notBuilt }, async (t) => {
  const { url } = await startProgram(t, ['example/smallest/app.js'])
  t.match(await (await fetch(`${url}/`)).text(), /from '\/ws\/client\.js'/)
  t.match(await (await fetch(`${url}/token?name=ada`)).text(), /^\S+\.\S+\.\S+$/)
  t.equal((await fetch(`${url}/ws/client.js`)).status, 200)
})

t.test('the example in Python starts a server, and its reader prints the events of a room', {
  skip: notBuilt || (hasPython || process.env.CI !== undefined ? false : 'python3 is not installed')
}, async (t) => {
  const child = spawn(process.execPath, ['--import', './scripts/typescript/register.mjs', 'example/python/start.ts'], {
    cwd: ROOT, env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: '0' }, stdio: ['ignore', 'pipe', 'pipe']
  })
  const exit = once(child, 'close').then(([code]) => code as number | null)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
  })
  let errors = ''
  child.stderr.on('data', (chunk) => { errors += String(chunk) })
  const counts: number[] = []
  for await (const line of createInterface(child.stdout)) {
    if (!line.startsWith('{')) continue
    const { type, data } = JSON.parse(line) as { type: string, data: { count: number } }
    t.equal(type, 'tick')
    if (counts.push(data.count) === 2) break
  }
  t.equal(counts[1], counts[0]! + 1, errors)
  child.kill('SIGTERM')
  t.equal(await exit, 0, errors)
})
