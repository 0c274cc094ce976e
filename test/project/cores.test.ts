import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { connect } from '../../lib/client/index.js'
import { defineRoom } from '../../lib/index.js'
import { until } from '../helpers/servers.js'
import { Type } from '@sinclair/typebox'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const Said = Type.Object({ text: Type.String(), by: Type.String(), worker: Type.Integer() })
const chat = defineRoom('chat/:id', {
  messages: { say: { data: Type.Object({ text: Type.String() }), reply: Type.Object({ worker: Type.Integer() }) } },
  events: { said: Said }
})

interface Cores {
  readonly url: string
  /** Ids of all workers that have said that they serve. */
  readonly workers: readonly number[]
  stop (): Promise<number | null>
}

/** The example as `npm run cores` runs it, on a free port, with two workers. */
async function startCores (t: Test): Promise<Cores> {
  const child = spawn(process.execPath, ['--import', './scripts/typescript/register.mjs', 'example/cores/start.ts'], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: '0', WORKERS: '2' },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const exit = once(child, 'exit').then(([code]) => code as number | null)
  const workers: number[] = []
  let [url, log] = ['', '']
  child.stderr.on('data', (chunk) => { log += String(chunk) })
  createInterface(child.stdout).on('line', (line) => {
    log += `${line}\n`
    const [, pid, at] = /^worker (\d+) serves (\S+)/.exec(line) ?? []
    if (at === undefined) return
    url = at
    workers.push(Number(pid))
  })
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exit
  })
  await until('two workers', () => {
    if (workers.length === 2) return true
    throw new Error(log)
  })
  return {
    url,
    workers,
    stop: async () => {
      child.kill('SIGTERM')
      return await exit
    }
  }
}

async function enter (t: Test, url: string, user: string): Promise<{
  client: ReturnType<typeof connect>
  heard: string[]
  seen: string[]
  gaps: string[]
  say (text: string): Promise<number>
}> {
  const token = await (await fetch(`${url}/token/${user}`, { method: 'POST' })).text()
  const client = connect(`${url}/ws`, { token: () => token, WebSocket })
  t.teardown(() => { client.close() })
  const room = client.join(chat.at({ id: '1' }))
  const [heard, seen, gaps]: [string[], string[], string[]] = [[], [], []]
  room.on('said', ({ data }) => { heard.push(data.text) })
  room.on('presence', ({ joined, left }) => {
    seen.push(...joined.map(({ userId }) => `${userId} comes`), ...left.map(({ userId }) => `${userId} leaves`))
  })
  client.on('gap', ({ room: name }) => { gaps.push(name!) })
  await room.joined
  return { client, heard, seen, gaps, say: async (text) => (await room.send('say', { text })).worker }
}

t.test('npm run cores: clients of all workers are in one room, and who was on a worker that is killed misses nothing', {
  skip: existsSync(new URL('../../dist/index.js', import.meta.url)) ? false : 'the package is not built',
  timeout: 60_000
}, async (t) => {
  const { url, workers, stop } = await startCores(t)
  const users = []
  const found = new Map<number, Awaited<ReturnType<typeof enter>>>()
  // Connections go to the workers in turn, but not only ours.
  for (let count = 0; found.size < 2 && count < 20; count++) {
    const user = await enter(t, url, `user-${count}`)
    users.push(user)
    const at = await user.say(`here is ${count}`)
    if (!found.has(at)) found.set(at, user)
  }
  t.same([...found.keys()].sort(), [...workers].sort())
  const [dies, stays] = workers as [number, number]
  const [lost, other] = [found.get(dies)!, found.get(stays)!]
  await other.say('before')
  await until('it is heard on the other worker', () => lost.heard.includes('before'))

  process.kill(dies, 'SIGKILL')
  for (let count = 0; count < 20; count++) await other.say(`meanwhile ${count}`)
  await until('who was there has all of it', () => lost.heard.filter((text) => text.startsWith('meanwhile')).length === 20)
  await other.say('after')
  await until('it goes on', () => lost.heard.at(-1) === 'after')
  t.same(lost.heard.slice(lost.heard.indexOf('before')), other.heard.slice(other.heard.indexOf('before')))
  t.same([...lost.gaps, ...other.gaps], [])
  t.same(other.seen.filter((each) => each.endsWith('leaves')), [], 'nobody was away')
  await until('another worker has taken its place', () => workers.length === 3)
  for (const { client } of users) client.close()
  t.equal(await stop(), 0)
})
