import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { transform } from 'esbuild'
import Fastify, { type FastifyInstance } from 'fastify'
import realtime from 'fastify-realtime'
import { connect, type Client, type ConnectOptions } from 'fastify-realtime/client'
import { nats } from 'fastify-realtime/nats'
import { redis } from 'fastify-realtime/redis'
import { createPeer } from 'fastify-realtime/testing'
import t, { type Test } from 'tap'
import { createServer } from 'vite'
import { WebSocket } from 'ws'
import { parse } from 'yaml'
import { DEFAULTS } from '../../lib/options/defaults.js'
import { isCode } from '../../lib/protocol/codes.js'
import { until } from '../helpers/client.js'
import { blocksOf, documentOf, PAGES, ROOT, rowsOf } from '../helpers/documents.js'
import { matchList } from '../helpers/match-list.js'
import { connect as dialPeer, TRANSPORTS } from '../helpers/net.js'

interface Probe { readonly httpGet: { readonly path: string } }

interface Container {
  readonly readinessProbe: Probe
  readonly livenessProbe: Probe
  readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: string[] } } }
}

interface Pod { readonly terminationGracePeriodSeconds: number, readonly containers: [Container] }

/** What is looked at of the deployment that the page shows. */
interface Deployment { readonly spec: { readonly template: { readonly spec: Pod } } }

interface Room { readonly joined: Promise<unknown>, send (message: string, data: object): Promise<unknown> }

interface Line { readonly id: string, readonly place: number, readonly text: string }

type Load = () => Promise<Response>

/** Each has the types of its own user, which must not become those of the tests: so they are loaded by their paths. */
async function load<T> (file: string): Promise<T> { return await import(`../../example/${file}.ts`) as T }

interface App<Args extends unknown[] = []> { build (...args: Args): Promise<FastifyInstance> }

const SECRET = 'a secret of the test, which is long enough'

async function listen (t: Test, app: FastifyInstance): Promise<string> {
  t.teardown(() => app.close())
  return await app.listen({ port: 0, host: '127.0.0.1' })
}

t.test('every file of example/docs is quoted by a page, and JavaScript, JSON and YAML of pages can be read', async (t) => {
  const blocks = PAGES.flatMap(blocksOf)
  const quoted = new Set(blocks.map((block) => block.quoted))
  const files = readdirSync(`${ROOT}example/docs`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => `${parentPath}/${name}`.slice(ROOT.length))
  // One that hands on a file of another folder gives the pages' imports the names that readers have.
  const handsOn = (file: string): boolean => readFileSync(ROOT + file, 'utf8').startsWith('export * from')
  t.same(files.filter((file) => !quoted.has(file) && !handsOn(file)), [])
  for (const { path, line, language, text } of blocks) {
    const read = async (): Promise<unknown> => {
      if (language === 'js') return await transform(text, { loader: 'js', format: 'esm' })
      if (language === 'json') return JSON.parse(text) as unknown
      return language === 'yaml' ? parse(text) : undefined
    }
    await t.resolves(read(), `${path}:${line}`)
  }
})

for (const [page, make] of [['operate/redis', redis], ['operate/nats', nats]] as const) {
  t.test(`the page ${page} has a row for each option of the adapter, and no other`, async (t) => {
    const said = (): string => {
      try {
        make({ zzzzzzzz: 1 } as object)
        return ''
      } catch (error) {
        return (error as Error).message
      }
    }
    const known = /known here: (.+)$/.exec(said())![1]!.split(', ')
    const rows = rowsOf(documentOf(`docs/${page}.md`)).map(([name]) => name!.replaceAll('`', ''))
    t.same(rows.toSorted(), known.toSorted())
  })
}

t.test('the units of the page on deployment wait for longer than a drain, and only readiness looks at it', async (t) => {
  const { spec } = (parse(documentOf('example/docs/deploy/kubernetes.yaml')) as Deployment).spec.template
  const [{ readinessProbe, livenessProbe, lifecycle }] = spec.containers
  const sleeps = Number(lifecycle.preStop.exec.command[1])
  t.ok(spec.terminationGracePeriodSeconds > sleeps + DEFAULTS.drain.timeout / 1_000 + 10)
  t.equal(readinessProbe.httpGet.path, '/ws/health')
  t.not(livenessProbe.httpGet.path, '/ws/health')
  const unit = documentOf('example/docs/deploy/realtime.service')
  t.ok(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)![1]) > DEFAULTS.drain.timeout / 1_000 + 10)
  const verified = spawnSync('systemd-analyze', ['verify', `${ROOT}example/docs/deploy/realtime.service`], { encoding: 'utf8' })
  if (verified.error === undefined) t.notMatch(verified.stderr, /realtime\.service.*(Unknown|Invalid)/)
  else t.comment('systemd-analyze is not here')
})

interface Support {
  readonly app: FastifyInstance
  readonly url: string
  token (sub: string): string
  open (sub: string, Socket?: ConnectOptions['WebSocket']): Client
  showSupport (client: Client, id: string, load: Load, show: (lines: Line[]) => void): Promise<void>
}

/** The app and the page of the guide on history, over these lines. */
async function supportApp (t: Test, lines: object): Promise<Support> {
  const { declareSupport } = await load<{
    declareSupport (app: FastifyInstance, lines: object): void
  }>('docs/history/server')
  const { showSupport } = await load<Pick<Support, 'showSupport'>>('docs/history/client')
  const app = Fastify()
  await app.register(realtime, { jwt: { secret: SECRET }, limits: { rate: { messages: 10_000, burst: 10_000 } } })
  declareSupport(app, lines)
  const url = await listen(t, app)
  const token = (sub: string): string => app.jwt.sign({ sub }, { expiresIn: '1m' })
  const open: Support['open'] = (sub, Socket = WebSocket) => {
    const client = connect(`${url}/ws`, { token: token(sub), WebSocket: Socket })
    t.teardown(() => { client.close() })
    return client
  }
  return { app, url, token, open, showSupport }
}

t.test('a page that loads its history while a writer never stops has each line once, at each reload', async (t) => {
  const kept: Line[] = []
  const lines = {
    mayRead: async (user: string) => user !== 'stranger',
    async insert (_room: string, line: Omit<Line, 'place'>) {
      await setImmediate()
      const found = kept.find(({ id }) => id === line.id)
      return found ?? kept[kept.push({ ...line, place: kept.length }) - 1]
    },
    async newest () {
      const answer = [...kept]
      await setImmediate()
      return answer
    }
  }
  const { url, token, open, showSupport } = await supportApp(t, lines)
  const writer = open('writer').join('support/1' as never) as unknown as Room
  await writer.joined
  const over = new AbortController()
  const writing = (async () => {
    for (let n = 0; !over.signal.aborted; n++) await writer.send('say', { text: String(n) })
  })()
  const read = async (): Promise<Response> => await fetch(`${url}/support/1`, {
    headers: { authorization: `Bearer ${token('reader')}` }
  })
  for (let reload = 0; reload < 10; reload++) {
    const client = open('reader')
    let shown: Line[] = []
    await showSupport(client, '1', read, (all) => { shown = all })
    const from = kept.length
    await until('what was written behind the load', () => shown.length > from + 3)
    t.same(shown.map(({ text }) => text), shown.map((_, index) => String(index)), `${shown.length} lines`)
    client.close()
  }
  over.abort()
  await writing
  const answer = await fetch(`${url}/support/1`, { headers: { authorization: `Bearer ${token('stranger')}` } })
  t.equal(answer.status, 403)
  const { joined } = open('stranger').join('support/1' as never) as unknown as Room
  await t.rejects(joined, { code: 'forbidden' })
})

t.test('lines that are told in another order than they are stored stand in the order of the database', async (t) => {
  const held = new Map<string, () => void>()
  let place = 0
  const { url, token, open, showSupport } = await supportApp(t, {
    mayRead: async () => true,
    async insert (_room: string, line: Omit<Line, 'place'>) {
      const stored = { ...line, place: ++place }
      await new Promise<void>((resolve) => { held.set(line.text, resolve) })
      return stored
    },
    newest: async () => []
  })
  let shown: Line[] = []
  const heard: string[] = []
  const reader = open('reader')
  await showSupport(reader, '1', async () => await fetch(`${url}/support/1`, {
    headers: { authorization: `Bearer ${token('reader')}` }
  }), (all) => {
    shown = all
    heard.push(...all.map(({ text }) => text).filter((text) => !heard.includes(text)))
  })
  const rooms = ['ada', 'bob'].map((name) => open(name).join('support/1' as never) as unknown as Room)
  const said = []
  for (const [at, text] of ['one', 'two'].entries()) {
    said.push(rooms[at]!.send('say', { text }))
    await until(`${text} is stored`, () => held.has(text))
  }
  for (const text of ['two', 'one']) {
    held.get(text)!()
    await until(`${text} is heard`, () => heard.includes(text))
  }
  await Promise.all(said)
  t.same([heard, shown.map(({ text }) => text)], [['two', 'one'], ['one', 'two']])
})

t.test('a page that was away for longer than the history of its room shows the newest lines without a hole', async (t) => {
  const kept: Line[] = []
  const { app, url, token, open, showSupport } = await supportApp(t, {
    mayRead: async () => true,
    insert: async () => undefined,
    newest: async (_room: string, count: number) => kept.slice(-count)
  })
  const write = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++) {
      const line = { id: `${kept.length}`, place: kept.length, by: 'writer', text: `${kept.length}` }
      kept.push(line)
      await app.rooms.broadcast('support/1', 'said', line)
    }
  }
  let isDown = false
  const sockets = new Set<WebSocket>()
  const client = open('reader', class extends WebSocket {
    constructor (address: string, protocols: string[]) {
      super(isDown ? 'ws://127.0.0.1:1' : address, protocols)
      sockets.add(this)
    }
  })
  let shown: Line[] = []
  await write(5)
  await showSupport(client, '1', async () => await fetch(`${url}/support/1`, {
    headers: { authorization: `Bearer ${token('reader')}` }
  }), (all) => { shown = all })
  await write(5)
  await until('the lines before the break', () => shown.length === 10)
  let gaps = 0
  client.on('gap', () => { gaps++ })
  isDown = true
  for (const socket of sockets) socket.terminate()
  await until('the break', () => client.state === 'reconnecting')
  await write(250)
  isDown = false
  client.reconnect()
  await until('the newest line', () => shown.at(-1)?.id === '259')
  await write(1)
  await until('a line behind the reload', () => shown.at(-1)?.id === '260')
  t.equal(gaps, 1)
  t.same(shown.map(({ id }) => Number(id)), shown.map((_, at) => 261 - shown.length + at), `${shown.length} lines in a row`)
})

interface Alarm {
  readonly id: string
  readonly machine: string
  readonly text: string
  readonly at: number
  readonly closedBy?: string
}

interface Plants {
  mayWatch (user: string): Promise<boolean>
  lists (id: string): Promise<Record<string, readonly string[]>>
  insert (id: string, alarm: Alarm): Promise<void>
  alarms (id: string, closed: number): Promise<Alarm[]>
  close (id: string, alarm: string, by: string): Promise<Alarm | undefined>
}

interface PlantServer {
  declarePlants (app: FastifyInstance, plants: Plants): void
  packLoads (
    app: FastifyInstance, id: string, list: string, machines: readonly string[]
  ): (machine: string, percent: number) => Promise<void>
  onAlarm (app: FastifyInstance, plants: Plants, id: string, machine: string, text: string): Promise<void>
}

interface PlantPage {
  showPlant (client: Client, id: string, load: Load, page: {
    loads (values: ReadonlyMap<string, number>): void
    alarms (open: readonly Alarm[], closed: readonly Alarm[]): void
    notLoaded (error: unknown): void
  }): Promise<void>
}

t.test('a plant on a slow link: each alarm is shown once over a restart, and strangers see nothing', async (t) => {
  const { declarePlants, packLoads, onAlarm } = await load<PlantServer>('docs/slow-links/server')
  const { showPlant } = await load<PlantPage>('docs/slow-links/client')
  const kept: Alarm[] = []
  const machines = ['oven', 'press', 'saw']
  const plants: Plants = {
    mayWatch: async (user) => user !== 'stranger',
    lists: async () => ({ hall: machines }),
    insert: async (_id, alarm) => { kept.push(alarm) },
    async alarms (_id, count) {
      const closed = kept.filter(({ closedBy }) => closedBy !== undefined).slice(-count)
      return kept.filter((alarm) => alarm.closedBy === undefined || closed.includes(alarm))
    },
    async close (_id, alarm, by) {
      const at = kept.findIndex(({ id, closedBy }) => id === alarm && closedBy === undefined)
      if (at !== -1) kept[at] = { ...kept[at]!, closedBy: by }
      return kept[at]
    }
  }
  const boot = async (port: number): Promise<FastifyInstance> => {
    const app = Fastify()
    await app.register(realtime, { jwt: { secret: SECRET }, drain: { timeout: 500 } })
    declarePlants(app, plants)
    await app.listen({ port, host: '127.0.0.1' })
    return app
  }
  const first = await boot(0)
  const { port } = first.server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  const token = (sub: string): string => first.jwt.sign({ sub }, { expiresIn: '1m' })
  const read = (sub: string): Load => async () =>
    await fetch(`${url}/plants/1`, { headers: { authorization: `Bearer ${token(sub)}` } })
  const open = (sub: string): Client => {
    const client = connect(`${url}/ws`, { token: () => token(sub), WebSocket })
    t.teardown(() => { client.close() })
    return client
  }
  let shown: string[] = []
  let closed: readonly Alarm[] = []
  let values: ReadonlyMap<string, number> = new Map()
  const client = open('ada')
  const failures: unknown[] = []
  let loads = 0
  const readAda: Load = async () => loads++ === 0 ? new Response('', { status: 503 }) : await read('ada')()
  await showPlant(client, '1', readAda, {
    loads: (all) => { values = all },
    alarms (open, done) {
      shown = open.map(({ text }) => text)
      closed = done
    },
    notLoaded (error) { failures.push(error) }
  })
  matchList(t, failures, [{ message: 'the plant answers 503' }], 'the first load fails, is told, and is tried again')
  const measure = packLoads(first, '1', 'hall', machines)
  for (const percent of [40, 50]) await measure('press', percent)
  await measure('saw', 7)
  await until('the newest values', () => values.get('press') === 50 && values.get('saw') === 7)
  t.same([...values], [['press', 50], ['saw', 7]], 'what is not measured yet is no zero')
  await onAlarm(first, plants, '1', 'press', 'before')
  await until('an alarm before the restart', () => shown.includes('before'))
  await first.close()
  await until('the break', () => client.state === 'reconnecting')
  await plants.insert('1', { id: 'x', machine: 'oven', text: 'while nobody served', at: Date.now() })

  const second = await boot(port)
  t.teardown(() => second.close())
  await onAlarm(second, plants, '1', 'saw', 'before the page was back')
  client.reconnect()
  await until('what came in the break', () => shown.includes('before the page was back'))
  await onAlarm(second, plants, '1', 'saw', 'after')
  await until('an alarm behind the restart', () => shown.includes('after'))
  t.same(shown, ['before', 'while nobody served', 'before the page was back', 'after'])

  const close = async (sub: string): Promise<number> => (await fetch(`${url}/plants/1/alarms/x/close`, {
    method: 'POST', headers: { authorization: `Bearer ${token(sub)}` }
  })).status
  t.same([await close('stranger'), await close('ada'), await close('ada')], [403, 200, 409])
  await until('the alarm that was closed', () => closed.length === 1)
  matchList(t, closed, [{ text: 'while nobody served', closedBy: 'ada' }])
  t.same(shown, ['before', 'before the page was back', 'after'])
  for (let n = 0; n < 60; n++) {
    await plants.insert('1', { id: `${n}`, machine: 'saw', text: `${n}`, at: n, closedBy: 'bob' })
    await second.rooms.broadcast('plants/1', 'alarm', kept.at(-1)!)
  }
  await until('the newest of the closed alarms', () => closed.at(-1)?.id === '59')
  t.same([closed.length, shown], [20, ['before', 'before the page was back', 'after']], 'no open alarm is forgotten')

  t.equal((await read('stranger')()).status, 403)
  t.equal((await fetch(`${url}/plants/1`)).status, 401)
  await t.rejects(open('stranger').join('plants/1').joined, { code: 'forbidden' })
})

t.test('the loads of 200 machines are one event of less than 800 bytes', async (t) => {
  const { declarePlants, packLoads } = await load<PlantServer>('docs/slow-links/server')
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(realtime, { jwt: { secret: SECRET } })
  declarePlants(app, { mayWatch: async () => true } as unknown as Plants)
  await app.ready()
  const peer = await createPeer(app, { room: 'plants/1', token: app.jwt.sign({ sub: 'ada' }, { expiresIn: '1m' }) })
  const machines = Array.from({ length: 200 }, (_, n) => `machine-${n}`)
  const measure = packLoads(app, '1', 'hall', machines)
  for (const machine of machines) await measure(machine, 50)
  const isWhole = ({ percents }: { percents: number[] }): boolean => percents.every((percent) => percent === 50)
  let frame = await peer.next('loads')
  while (!isWhole(frame.data as { percents: number[] })) frame = await peer.next('loads')
  t.ok(JSON.stringify(frame).length < 800, `${JSON.stringify(frame).length} bytes`)
})

interface Talks {
  mayRead (): Promise<boolean>
  isAgent (user: string): Promise<boolean>
  customers (): Promise<string[]>
  newest (talk: string, count: number): Promise<TalkLine[]>
  marks (): Promise<Record<string, number>>
  mark (talk: string, reader: string, upTo: number): Promise<number>
}

interface TalkLine { readonly id: number, readonly by: string, readonly text: string }

interface TalkPage {
  showTalk (client: Client, id: string, me: string, load: Load, draw: (
    lines: TalkLine[], unread: ReadonlySet<number>, marks: ReadonlyMap<string, number>
  ) => void): Promise<(upTo: number) => Promise<void>>
  showDesk (client: Client, load: Load, draw: (online: ReadonlySet<string>) => void): Promise<void>
}

t.test('read marks never go back and reach each tab; the desk sees who comes and goes', async (t) => {
  const { build } = await load<App<[Talks, object]>>('docs/read-marks/server')
  const { showTalk, showDesk } = await load<TalkPage>('docs/read-marks/client')
  const kept: TalkLine[] = [1, 2].map((id) => ({ id, by: 'bob', text: `${id}` }))
  const marks = new Map<string, number>()
  const app = await build({
    mayRead: async () => true,
    isAgent: async (user) => user === 'bob',
    customers: async () => ['ada', 'eve'],
    newest: async () => kept,
    marks: async () => Object.fromEntries(marks),
    async mark (_talk, reader, upTo) {
      marks.set(reader, Math.max(upTo, marks.get(reader) ?? 0))
      return marks.get(reader)!
    }
  }, { jwt: { secret: SECRET }, presence: { grace: 200 } })
  const url = await listen(t, app)
  const token = (sub: string): string => app.jwt.sign({ sub }, { expiresIn: '1m' })
  const read = (sub: string, path: string): Load => async () =>
    await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token(sub)}` } })
  const open = (sub: string): Client => {
    const client = connect(`${url}/ws`, { token: () => token(sub), WebSocket })
    t.teardown(() => { client.close() })
    return client
  }
  const tab = async (sub: string): Promise<{
    client: Client, unread: () => number[], marks: () => object, read: (upTo: number) => Promise<void>
  }> => {
    const client = open(sub)
    let drawn: Parameters<Parameters<TalkPage['showTalk']>[4]> | undefined
    const done = await showTalk(client, '1', sub, read(sub, '/talks/1'), (...all) => { drawn = all })
    return { client, read: done, unread: () => [...drawn![1]], marks: () => Object.fromEntries(drawn![2]) }
  }
  const [first, second, bob] = [await tab('ada'), await tab('ada'), await tab('bob')]
  t.same([first.unread(), bob.unread()], [[1, 2], []])
  await first.read(1)
  await until('the mark in the other tab', () => second.unread().length === 1)
  const three = { id: 3, by: 'bob', text: '3' }
  kept.push(three)
  await app.rooms.broadcast('talks/1', 'said', three)
  await until('a line that is not read', () => second.unread().length === 2)
  await second.read(3)
  // Another device, which is behind.
  await (first.client.join('talks/1' as never) as unknown as Room).send('see', { upTo: 2 })
  await until('all is read', () => first.unread().length === 0)
  await until('the others see it', () => (bob.marks() as { ada?: number }).ada === 3)
  t.same([marks.get('ada'), (await tab('ada')).unread()], [3, []], 'a mark never goes back')

  let online: string[] = []
  await showDesk(open('bob'), read('bob', '/desk'), (users) => { online = [...users] })
  t.same(online, ['ada'])
  const eve = open('eve')
  await until('eve has come', () => online.includes('eve'))
  eve.close()
  await until('eve has gone', () => !online.includes('eve'))
  t.equal((await read('ada', '/desk')()).status, 403)
})

t.test('a client of Node opens each transport with a cookie', async (t) => {
  const { connectWithCookie } = await load<{
    connectWithCookie (site: string, cookie: string, options?: object): Client
  }>('readme/node-cookie')
  const app = await (await load<App>('readme/cookies')).build()
  const site = await listen(t, app)
  const answer = await app.inject({ method: 'POST', url: '/login', payload: { user: 'ada', password: 'secret' } })
  const { value } = answer.cookies.find(({ name }) => name === 'session')!
  for (const transport of ['websocket', 'sse', 'polling']) {
    const client = connectWithCookie(site, `session=${value}`, { transports: [transport] })
    t.teardown(() => { client.close() })
    await (client.join('games/7' as never) as unknown as Room).joined
    t.same([client.transport, client.userId], [transport, 'ada'])
  }
})

t.test('a cookie opens each transport for pages of the site, and ends with the logout', async (t) => {
  const app = await (await load<App>('readme/cookies')).build()
  t.teardown(() => app.close())
  await app.ready()
  const login = async (): Promise<string> => {
    const answer = await app.inject({ method: 'POST', url: '/login', payload: { user: 'ada', password: 'secret' } })
    return answer.cookies.find(({ name }) => name === 'session')!.value
  }
  const session = await login()
  const peers = await Promise.all(TRANSPORTS.map(async (transport) => await createPeer(app, {
    room: 'games/7', cookies: { session }, transport
  })))
  await t.rejects(createPeer(app, { room: 'games/7', cookies: { session }, origin: 'https://elsewhere.example' }), {
    code: 'origin_refused'
  })
  t.equal((await app.inject({ method: 'POST', url: '/logout', cookies: { session } })).statusCode, 200)
  for (const peer of peers.slice(0, 2)) t.match(await peer.next('error'), { data: { code: 'revoked' } })
  await t.resolves(createPeer(app, { room: 'games/7', cookies: { session: await login() } }), 'a login counts at once')
})

t.test('a client whose session is over leads to the login once, and tries nothing more', async (t) => {
  const { connectUntilLogin } = await load<{
    connectUntilLogin (site: string, toLogin: () => void): Client
  }>('readme/session-over')
  const app = Fastify()
  await app.register(realtime, { jwt: { secret: SECRET } })
  let isOver = false
  let asked = 0
  app.post('/token', async (_request, reply) => {
    asked++
    return isOver ? await reply.code(401).send() : app.jwt.sign({ sub: 'ada' }, { expiresIn: '1m' })
  })
  const site = await listen(t, app)
  const open = async (): Promise<{ client: Client, logins: () => number }> => {
    let logins = 0
    const client = connectUntilLogin(site, () => { logins++ })
    t.teardown(() => { client.close() })
    await until('the client is open', () => client.state === 'open')
    return { client, logins: () => logins }
  }

  const revoked = await open()
  await app.rooms.revoke({ user: 'ada' }, { until: Date.now() })
  await until('the login after a revocation', () => revoked.logins() === 1)
  t.equal(revoked.client.state, 'closed')

  const ended = await open()
  isOver = true
  asked = 0
  ended.client.reconnect()
  await until('the login after a token that is refused', () => ended.logins() === 1)
  t.equal(ended.client.state, 'closed')
  t.same([asked, ended.logins(), revoked.logins()], [1, 1, 1])
})

t.test('guests watch, and are told why they may not cheer', async (t) => {
  const app = await (await load<App>('readme/guests')).build()
  t.teardown(() => app.close())
  const { token } = (await app.inject({ method: 'POST', url: '/guest' })).json<{ token: string }>()
  const guest = await createPeer(app, { room: 'match/1', token })
  await app.rooms.broadcast('match/1', 'goal', { team: 'red' })
  t.match(await guest.next('goal'), { data: { team: 'red' } })
  guest.send({ type: 'cheer', room: 'match/1', id: '1', data: {} })
  t.match(await guest.next('error'), { id: '1', data: { code: 'guests_only_watch' } })
})

t.test('the dev server of Vite passes each transport on, and the origin is that of its page', async (t) => {
  const app = await (await load<App>('docs/set/after')).build()
  process.env.API_URL = await listen(t, app)
  const vite = await createServer({
    configFile: `${ROOT}example/docs/vite/vite.config.ts`,
    root: `${ROOT}example/docs/vite`,
    cacheDir: `${ROOT}.tap/vite-guides`,
    logLevel: 'error',
    optimizeDeps: { noDiscovery: true },
    server: { host: '127.0.0.1', port: 0, hmr: false, watch: null }
  })
  t.teardown(() => vite.close())
  await vite.listen()
  const { port } = vite.httpServer!.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  const token = app.jwt.sign({ sub: 'ada' }, { expiresIn: '1m' })
  for (const transport of TRANSPORTS) {
    const peer = await dialPeer({ port, url }, { transport, token, rooms: ['chat/1'], headers: { origin: url } })
    await app.rooms.broadcast('chat/1', 'said', { text: 'hello', by: 'server' })
    t.match(await peer.next('said'), { data: { text: 'hello' } }, transport)
    await peer.close()
  }
})

/** The source with its texts as they are read: what is put in at run time is `…`. */
const SOURCE = readdirSync(`${ROOT}lib`, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => documentOf(`lib/${file}`))
  .join('\n')
  .replaceAll("\\'", "'")
  .replaceAll(/\$\{[^}`]*\}/g, '…')

/** What of a line of the page is not in the source. */
function unknownIn (line: string): string[] {
  const [, where, text] = /^(\w+): (.+)$/.exec(line) ?? []
  const refusal = /^refused with (\w+): (.+?); (.+)$/.exec(text ?? '')
  if (where === 'node' || where === 'browser') return []
  if (where === 'code' || where === 'client') return SOURCE.includes(`'${text!}'`) || isCode(text) ? [] : [line]
  if (where !== 'log' && where !== 'error') return [line]
  if (refusal !== null) return refusal.slice(1).filter((part) => !SOURCE.includes(part))
  return text!.split(/…|(?=; )/).filter((part) => !SOURCE.includes(part))
}

t.test('each symptom of the page on troubleshooting has a line that the source can say, and none is said otherwise', async (t) => {
  const text = documentOf('docs/troubleshooting.md')
  const symptoms = text.split(/^### /m).slice(1)
  t.ok(symptoms.length >= 30, `${symptoms.length} symptoms`)
  for (const symptom of symptoms) {
    const lines = [...symptom.matchAll(/^```text\n([^]*?)\n```$/gm)].flatMap(([, block]) => block!.split('\n'))
    const [title = ''] = symptom.split('\n')
    t.not(lines.length, 0, title)
    t.same(lines.flatMap(unknownIn), [], title)
  }
})

t.test('each wording of a loss that `limits.remembered` bounds is found on the page on troubleshooting', async (t) => {
  const text = documentOf('docs/troubleshooting.md')
  const wordings = [...SOURCE.matchAll(/'([^'\n]* were forgotten before [^'\n]*raise limits\.remembered[^'\n]*)'/g)]
  t.ok(wordings.length >= 3, `${wordings.length} wordings`)
  for (const [, wording] of wordings) t.ok(text.includes(`log: ${wording!}\n`), wording!)
})
