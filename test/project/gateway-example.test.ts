import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import t from 'tap'
import { ROOT } from '../../scripts/matrix/tarball.js'
import { run } from '../../scripts/matrix/run.js'
import { dial } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { missing, until } from '../helpers/servers.js'

const skip = existsSync(`${ROOT}dist/gateway/cli.js`) ? missing('python3', 'curl') : 'dist is not built: npm run build'

t.test('the gateway with a backend in Python', { skip }, async (t) => {
  const child = spawn(process.execPath, ['--import', './scripts/typescript/register.mjs', 'example/gateway/start.ts'], {
    cwd: ROOT, env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: '0' }, stdio: ['ignore', 'pipe', 'pipe']
  })
  const ended = once(child, 'close').then(([code]) => code as number | null)
  t.teardown(async () => {
    child.kill('SIGTERM')
    await ended
  })
  const lines: string[] = []
  createInterface(child.stdout).on('line', (line) => { lines.push(line) })
  let errors = ''
  child.stderr.on('data', (chunk) => { errors += String(chunk) })
  await until(`it says what to type: ${errors}`, () => lines.some((line) => line.includes('curl -N')))
  const curl = lines.find((line) => line.startsWith('  curl 127'))!
  const [, host] = /curl (\S+)\/ws/.exec(curl)!
  const [, login] = /curl -s '(\S+)\/token/.exec(curl)!
  const tokenOf = async (user: string): Promise<string> => await (await fetch(`http://${login!}/token?user=${user}`)).text()
  const server = { url: `http://${host!}`, token: tokenOf as never }

  await t.test('the line that it prints is answered by the backend, and reaches a client that the backend lets in', async (t) => {
    const { client } = dial(t, server, 'bob', { token: async () => await tokenOf('bob') })
    const room = client.join({ name: 'chat/1' } as never)
    const heard: unknown[] = []
    room.on('*', (event) => { heard.push((event as { data: unknown }).data) })
    await room.joined
    const { code, output } = await run('bash', ['-c', curl.trim()], { cwd: ROOT })
    t.equal(code, 0, output)
    t.match(output, /"type":"ack".*"data":\{"count":1\}/)
    await until('it is heard', () => heard.length === 1)
    t.same(heard, [{ text: 'hello', by: 'ada' }])
    await t.rejects(room.send('say' as never, { text: 'spam' } as never), { code: 'spam', message: 'say something else' })
  })

  await t.test('whom the backend does not let in is refused', async (t) => {
    const { client } = dial(t, server, 'mallory', { token: async () => await tokenOf('mallory') })
    await t.rejects(client.join({ name: 'chat/1' } as never).joined, { code: 'forbidden' })
  })

  await t.test('SIGTERM ends it with status 0, and the backend has heard of every leave', async (t) => {
    child.kill('SIGTERM')
    t.equal(await ended, 0, errors)
    t.ok(lines.some((line) => line.startsWith('leave chat/1 bob')), lines.join('\n'))
  })
})

t.test('the page on the gateway shows the commands of the example', async (t) => {
  const page = readFileSync(`${ROOT}docs/guides/gateway.md`, 'utf8')
  const started = readFileSync(`${ROOT}example/gateway/start.ts`, 'utf8')
  const [, line] = /^curl 127\.0\.0\.1:3000\/ws\/chat\/1 (.+)$/m.exec(page)!
  const [, printed] = /curl 127\.0\.0\.1:\$\{port\}\/ws\/chat\/1 (.+)$/m.exec(started)!
  t.equal(line!.replace(/\$\(curl[^)]*\)/, ''), printed!.replace(/\$\{user\}/, ''))
})

t.test('the Dockerfile runs the command as nobody special, stops on SIGTERM and holds no secret', async (t) => {
  const file = readFileSync(`${ROOT}example/gateway/Dockerfile`, 'utf8')
  const steps = file.split('\n').filter((line) => /^[A-Z]+ /.test(line)).map((line) => [line.split(' ')[0]!, line.slice(line.indexOf(' ') + 1)] as const)
  const of = (name: string): string[] => steps.filter(([step]) => step === name).map(([, rest]) => rest)
  const { version, bin } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { version: string, bin: Record<string, string> }
  t.same(steps.map(([step]) => step).filter((step) => !/^(FROM|ENV|WORKDIR|RUN|COPY|USER|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT|CMD)$/.test(step)), [])
  matchList(t, of('FROM'), [/^node:\d+-alpine$/])
  t.same(of('USER'), ['node'])
  t.same(of('STOPSIGNAL'), ['SIGTERM'])
  t.ok(of('RUN')[0]!.includes(`fastify-realtime@${version.split('.').slice(0, 2).join('.')} `))
  t.same(JSON.parse(of('ENTRYPOINT')[0]!), ['node', `node_modules/fastify-realtime/${bin['fastify-realtime']!}`])
  matchList(t, JSON.parse(of('CMD')[0]!), ['serve', '--config', 'realtime.json', '--host', '0.0.0.0'])
  t.ok(existsSync(`${ROOT}example/gateway/${of('COPY')[0]!.split(' ')[0]!}`))
  t.same(of('ENV').filter((line) => /SECRET|KEY|TOKEN/.test(line)), [])
  t.ok(steps.findIndex(([step]) => step === 'USER') > steps.findIndex(([step]) => step === 'RUN'))
})
