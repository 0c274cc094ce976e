import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import { WebSocket } from 'ws'
import { connect } from 'fastify-realtime/client'
import realtime, { defineRoom } from 'fastify-realtime'
import { describeMachine } from './machine.js'
import { table } from './table.js'
import { SECRET, tokenOf } from './shared/token.js'

/** Milliseconds that `authenticate` takes. */
const AUTHENTICATION = 300
/** Milliseconds until all have to be back. */
const LIMIT = 30_000
const PORTS = { backend: 23_800, nginx: 23_801, haproxy: 23_802 }
const SELF = fileURLToPath(import.meta.url)

type Transports = Record<string, number>
/**
 * What a process of clients tells: how many are open, and when each was again, in milliseconds since it was asked to
 * note it.
 */
interface Told { readonly open: number, readonly back: readonly number[], readonly errors: Record<string, number> }

async function serve (): Promise<void> {
  const app = Fastify({ trustProxy: '127.0.0.1' })
  await app.register(realtime, {
    jwt: { secret: SECRET },
    authenticate: async (request, token) => {
      await delay(AUTHENTICATION)
      return token === undefined ? null : request.server.jwt.verify(token)
    }
  })
  app.room(defineRoom('herd', {}))
  await app.listen({ port: PORTS.backend, host: '127.0.0.1', backlog: 4_096 })
  process.on('message', () => {
    void app.rooms.stats().then((stats) => {
      process.send!((stats as unknown as { connections: { transports: Transports } }).connections.transports)
    })
  })
  process.send!('ready')
}

function herd (port: number, first: number, count: number): void {
  let since = performance.now()
  let back: number[] = []
  const errors: Record<string, number> = {}
  const clients = Array.from({ length: count }, (_, i) => {
    const client = connect(`http://127.0.0.1:${port}/ws`, { token: tokenOf(first + i), WebSocket })
    client.join({ name: 'herd' } as never)
    client.on('state', ({ state }) => { if (state === 'open') back.push(Math.round(performance.now() - since)) })
    client.on('error', ({ code = '?' }) => { errors[code] = (errors[code] ?? 0) + 1 })
    return client
  })
  process.on('message', (order) => {
    if (order === 'note') {
      since = performance.now()
      back = []
      for (const code of Object.keys(errors)) delete errors[code]
    }
    process.send!({ open: clients.filter(({ state }) => state === 'open').length, back, errors } satisfies Told)
  })
}

async function ask<T> (child: ChildProcess, order: string): Promise<T> {
  const answer = once(child, 'message')
  child.send(order)
  const [told] = await answer as [T]
  return told
}

async function server (): Promise<ChildProcess> {
  const child = fork(SELF, ['server'], { execArgv: ['--import', 'tsx'] })
  await once(child, 'message')
  return child
}

async function proxy (directory: string, name: 'nginx' | 'haproxy'): Promise<ChildProcess> {
  const file = join(directory, `${name}.conf`)
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((each) => `${each}_temp_path ${directory}/${each};`)
    .join(' ')
  await writeFile(file, name === 'nginx'
    ? `daemon off; master_process off; pid ${directory}/pid; error_log ${directory}/error warn;
       events { worker_connections 16000; }
       http { access_log off; ${paths}
         map $http_upgrade $connection_upgrade { default upgrade; '' close; }
         server { listen 127.0.0.1:${PORTS.nginx} backlog=4096;
           location / { proxy_pass http://127.0.0.1:${PORTS.backend}; proxy_http_version 1.1;
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
             proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } } }`
    : `global
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend clients
  bind 127.0.0.1:${PORTS.haproxy} backlog 4096
  default_backend nodes
backend nodes
  option forwardfor
  server node 127.0.0.1:${PORTS.backend}
`)
  const child = spawn(name, name === 'nginx' ? ['-p', directory, '-c', file] : ['-f', file, '-db'], {
    stdio: ['ignore', 'ignore', 'inherit']
  })
  await delay(500)
  if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`)
  return child
}

function sum (told: readonly Told[]): Told {
  const errors: Record<string, number> = {}
  for (const each of told) {
    for (const [code, times] of Object.entries(each.errors)) errors[code] = (errors[code] ?? 0) + times
  }
  return { open: told.reduce((total, { open }) => total + open, 0), back: told.flatMap(({ back }) => back), errors }
}

/** Waits until all are open. @returns the milliseconds it took */
async function allOpen (crowd: readonly ChildProcess[], count: number, limit: number): Promise<number> {
  const start = performance.now()
  for (;;) {
    const { open } = sum(await Promise.all(crowd.map(async (child) => await ask<Told>(child, 'tell'))))
    const took = performance.now() - start
    if (open === count || took > limit) return Math.round(took)
    await delay(100)
  }
}

/** What came of one proxy; the times are milliseconds until all were open. */
interface Rush {
  readonly name: string
  readonly clients: number
  readonly first: number
  readonly back: number
  readonly held: boolean
}

async function round (name: 'nginx' | 'haproxy', clients: number, processes: number): Promise<Rush> {
  const directory = await mkdtemp(join(tmpdir(), 'herd-'))
  const children: ChildProcess[] = []
  try {
    children.push(await proxy(directory, name))
    let backend = await server()
    const share = Math.ceil(clients / processes)
    const crowd = Array.from(
      { length: processes },
      (_, i) => fork(SELF, ['herd', String(PORTS[name]), String(i * share), String(share)], {
        execArgv: ['--import', 'tsx']
      })
    )
    children.push(...crowd)
    const arrived = await allOpen(crowd, share * processes, 2 * LIMIT)
    console.log(
      `\n## ${name}: ${share * processes} clients in ${processes} processes\n\nfirst arrival: all open after ${arrived} ms, ${JSON.stringify(await ask<Transports>(backend, 'tell'))}`
    )
    await Promise.all(crowd.map(async (child) => await ask<Told>(child, 'note')))
    backend.kill('SIGKILL')
    await once(backend, 'exit')
    backend = await server()
    children.push(backend)
    const took = await allOpen(crowd, share * processes, LIMIT)
    const told = sum(await Promise.all(crowd.map(async (child) => await ask<Told>(child, 'tell'))))
    const transports = await ask<Transports>(backend, 'tell')
    const seconds = new Map<number, number>()
    for (const each of told.back) {
      seconds.set(Math.floor(each / 1_000), (seconds.get(Math.floor(each / 1_000)) ?? 0) + 1)
    }
    console.log(
      `after kill -9: ${told.open} open ${took} ms after the restart, ${JSON.stringify(transports)}; refusals and failures on the way: ${JSON.stringify(told.errors)}\n`
    )
    console.log('| second since the kill | clients back |\n|---|---|')
    for (const [second, count] of [...seconds].sort(([a], [b]) => a - b)) console.log(`| ${second} | ${count} |`)
    const held = told.open === share * processes && transports.websocket === told.open
    return { name, clients: share * processes, first: arrived, back: took, held }
  } finally {
    for (const child of children) child.kill('SIGKILL')
    await rm(directory, { recursive: true, force: true })
  }
}

const [role, ...given] = process.argv.slice(2)
if (role === 'server') await serve()
else if (role === 'herd') herd(Number(given[0]), Number(given[1]), Number(given[2]))
else {
  console.log(
    `# A rush behind a proxy\n\n${describeMachine().join('  \n')}\n\nauthenticate takes ${AUTHENTICATION} ms; the backend is killed with -9 and started again.`
  )
  const clients = Number(role ?? 5_000)
  const rushes = [await round('nginx', clients, 5), await round('haproxy', clients, 5)]
  const seconds = (ms: number): string => (ms / 1_000).toFixed(1)
  console.log('\n## All open\n')
  console.log(table(
    ['proxy', 'clients', 'seconds at first', 'seconds behind a restart'],
    rushes.map(({ name, clients: count, first, back }) => [name, String(count), seconds(first), seconds(back)])
  ))
  const held = rushes.every((rush) => rush.held)
  console.log(held ? '\nAll are on a WebSocket again, none on a fallback.' : '\nSome are late or on a fallback.')
  process.exit(held ? 0 : 1)
}
