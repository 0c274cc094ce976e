import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { dial, isOpen } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { chat, connect, start, statsOf, TRANSPORTS } from '../helpers/net.js'
import { missing, run, type Server } from '../helpers/servers.js'

interface Proxy {
  readonly program: string
  readonly file: string
  /** Places and ports of the test in place of those of the document. */
  readonly change: (text: string, port: number, target: number, directory: string) => string
  readonly args: (file: string, directory: string) => string[]
}

const MODULES = '/usr/lib/apache2/modules'
const LOADED = ['mpm_event', 'authz_core', 'proxy', 'proxy_http', 'headers']

const proxies: readonly Proxy[] = [
  {
    program: 'nginx',
    file: 'nginx.conf',
    change: (text, port, target, directory) => `
      daemon off; master_process off; pid ${directory}/pid; error_log stderr warn;
      events { worker_connections 1024; }
      http {
        access_log off;
        ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${directory}/${name};`).join(' ')}
        ${text.replace('listen 80', `listen 127.0.0.1:${port}`).replaceAll('127.0.0.1:3000', `127.0.0.1:${target}`)}
      }`,
    args: (file, directory) => ['-p', directory, '-c', file]
  },
  {
    program: 'haproxy',
    file: 'haproxy.cfg',
    change: (text, port, target) => text
      .replace('maxconn 20000', 'maxconn 100')
      .replace('bind :80', `bind 127.0.0.1:${port}`)
      .replace('127.0.0.1:3000', `127.0.0.1:${target}`),
    args: (file) => ['-db', '-f', file]
  },
  {
    program: 'caddy',
    file: 'Caddyfile',
    change: (text, port, target, directory) => `{
        admin off
        storage file_system ${directory}
      }
      ${text.replace('example.com', `http://127.0.0.1:${port}`).replace(' 127.0.0.1:3000', ` 127.0.0.1:${target}`)}`,
    args: (file) => ['run', '--adapter', 'caddyfile', '--config', file]
  },
  {
    program: 'apache2',
    file: 'apache.conf',
    change: (text, port, target, directory) => [
      `ServerRoot ${directory}`, `PidFile ${directory}/pid`, `ErrorLog ${directory}/error.log`, 'User www-data',
      'ServerName localhost',
      `DefaultRuntimeDir ${directory}`, `Listen 127.0.0.1:${port}`,
      ...LOADED.map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`),
      text.replace('*:80', `*:${port}`).replace('127.0.0.1:3000', `127.0.0.1:${target}`)
    ].join('\n'),
    // One process alone, which has no children to leave behind.
    args: (file) => ['-X', '-f', file]
  }
]

/** @param without lines of the document that hold this are left out */
async function startProxy (
  t: Test, { program, file, change, args }: Proxy, target: number, without?: RegExp
): Promise<Server> {
  const whole = await readFile(new URL(`../../example/docs/proxies/${file}`, import.meta.url), 'utf8')
  const text = whole.split('\n').filter((line) => without?.test(line) !== true).join('\n')
  return await run(t, {
    program,
    scheme: 'http',
    async args (port, directory) {
      const config = join(directory, file)
      await writeFile(config, change(text, port, target, directory))
      return args(config, directory)
    },
    ask: 'GET /ws/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    expected: /^HTTP\/1\.. 200/
  })
}

t.jobs = 4
for (const proxy of proxies) {
  const skip = missing(proxy.program)
  t.test(
    `behind ${proxy.program}, as its page configures it, each transport hears each event as it comes`,
    { skip, buffered: true },
    async (t) => {
      const app = await start(t, { fastify: { trustProxy: true } })
      const { port, url } = await startProxy(t, proxy, app.port)
      // The origin is compared with the Host that the proxy passes on.
      const headers = { origin: url }
      const peers = await Promise.all(TRANSPORTS.map(async (transport) => await connect({ port, url }, {
        transport, headers, rooms: ['chat/1'], token: app.token(transport)
      })))
      for (let n = 1; n <= 5; n++) {
        await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: `${n}`, by: 'server' })
        // One after the other: what a proxy holds back would be missing here.
        for (const peer of peers) t.match(await peer.next('said'), { data: { text: `${n}` } }, peer.transport)
      }
      for (const peer of peers) {
        peer.send({ type: 'say', room: 'chat/1', id: peer.transport, data: { text: peer.transport } })
        for (const each of peers) t.match(await each.next('said'), { data: { text: peer.transport } })
      }
      await t.rejects(
        connect({ port, url }, { rooms: ['chat/1'], token: app.token('x'), headers: { origin: 'http://elsewhere.example' } }),
        { statusCode: 403, code: 'origin_refused' }
      )
      await Promise.all(peers.map(async (peer) => { await peer.close() }))
    }
  )
}

t.test(
  'behind nginx without the two headers a WebSocket is refused with the fix in the log and leaves nothing; a stream opens',
  { skip: missing('nginx') },
  async (t) => {
    const app = await start(t, { fastify: { trustProxy: true } })
    const [nginx] = proxies
    const { url } = await startProxy(t, nginx!, app.port, /proxy_set_header (?:Upgrade|Connection)/)
    const watched = dial(t, { url, token: app.token }, 'ada')
    await isOpen(watched)
    t.equal(watched.client.transport, 'sse')
    matchList(t, watched.errors, [{ code: 'transport_blocked' }])
    const { connections } = await statsOf(app.app)
    t.same(connections.transports, { websocket: 0, sse: 1, polling: 0 })
    t.equal(connections.slots, 1)
    const warnings = app.lines.filter((line) => line.includes('"level":40') && line.includes('both headers on"'))
    t.equal(warnings.length, 1, warnings.join(''))
  }
)
