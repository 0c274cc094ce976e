import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { matchList } from '../helpers/match-list.js'
import { missing } from '../helpers/servers.js'
import { ROOT, SHOP, startApi, VIEW } from './api.js'

const DIRECTORY = fileURLToPath(new URL('../../example/api/', import.meta.url))
const PAGE = readFileSync(new URL('../../docs/reference/server-api.md', import.meta.url), 'utf8')

const PROGRAMS = [
  { program: 'curl', runs: ['sh', 'publish.sh'], fence: 'sh', events: [{ n: 1 }] },
  { program: 'python3', runs: ['python3', 'publish.py'], fence: 'python', events: [{ n: 2 }, { text: 'aus Köln' }] },
  { program: 'php', runs: ['php', 'publish.php'], fence: 'php', events: [{ n: 3 }] }
] as const

async function run (
  url: string,
  key: string,
  [command, file]: readonly string[]
): Promise<{ out: string, code: number }> {
  const child = spawn(command!, [file!], {
    cwd: DIRECTORY,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, REALTIME_URL: `${url}/ws`, REALTIME_KEY: key },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let out = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { out += String(chunk) })
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => { resolve({ out, code: code ?? -1 }) })
  })
}

for (const { program, runs, fence, events } of PROGRAMS) {
  t.test(`${program} publishes as its page shows it, twice what is there once`, { skip: missing(program) }, async (t) => {
    const text = readFileSync(`${DIRECTORY}${runs[1]}`, 'utf8').trimEnd()
    t.ok(PAGE.includes(`\n\`\`\`${fence}\n${text}\n\`\`\`\n`), `${runs[1]} stands on the page`)
    const { url, app } = await startApi(t)
    for (let i = 0; i < 2; i++) {
      const { out, code } = await run(url, SHOP, runs)
      t.equal(code, 0, out)
      t.match(out, /position/)
    }
    matchList(t, (await app.rooms.history('orders/7')).events.map(({ data }) => data), events)
    const refused = await run(url, VIEW, runs)
    t.match(refused.out, /forbidden/, 'a refusal is told in its words')
    t.notMatch(refused.out, ROOT)
  })
}
