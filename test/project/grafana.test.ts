import { spawn, spawnSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import ts from 'typescript'
import { codes } from '../../lib/protocol/codes.js'
import { VERSION } from '../../lib/version.js'
import { TROUBLES } from '../../scripts/day/troubles.js'
import { documentOf } from '../helpers/documents.js'
import { connect, start, type Running } from '../helpers/net.js'
import { freePort, missing, until } from '../helpers/servers.js'

const FOLDER = fileURLToPath(new URL('../../example/grafana/', import.meta.url))
const TOKEN = 'a-token-for-prometheus'

interface Target { readonly expr: string, readonly refId: string, readonly legendFormat?: string }
interface Panel { readonly title: string, readonly type: string, readonly targets?: readonly Target[] }
interface Board {
  readonly panels: ReadonlyArray<Panel & { readonly id: number, readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>> }>
}
const board = JSON.parse(readFileSync(`${FOLDER}board.json`, 'utf8')) as Board

/** The queries as Grafana sends them, once its variables are put in. */
const queries = board.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({
  title,
  expr: expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '1m')
})))

/** A Prometheus that reads the example's config, with its target, its token and its pace as the test needs them. */
async function startPrometheus (t: Test, { port }: Running): Promise<string> {
  const directory = mkdtempSync(`${tmpdir()}/realtime-prometheus-`)
  t.teardown(() => { rmSync(directory, { recursive: true, force: true }) })
  copyFileSync(`${FOLDER}alerts.yml`, `${directory}/alerts.yml`)
  const config = readFileSync(`${FOLDER}prometheus.yml`, 'utf8')
    .replace('127.0.0.1:3000', `127.0.0.1:${port}`)
    .replace('change-me', TOKEN)
    .replace('scrape_interval: 15s', 'scrape_interval: 200ms\n  scrape_timeout: 200ms')
  writeFileSync(`${directory}/prometheus.yml`, config)
  const at = await freePort()
  const child = spawn('prometheus', [
    `--config.file=${directory}/prometheus.yml`,
    `--storage.tsdb.path=${directory}/data`,
    `--web.listen-address=127.0.0.1:${at}`,
    '--log.level=error'
  ], { stdio: 'ignore' })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return `http://127.0.0.1:${at}`
}

interface Answer {
  readonly status: string
  readonly error?: string
  readonly data: { readonly result: readonly unknown[] }
}

t.test('a Prometheus loads the example\'s config and rules, and answers every query of the board and of the rules', {
  skip: missing('prometheus', 'promtool')
}, async (t) => {
  const server = await start(t, { stats: { token: TOKEN } })
  const ada = await connect(server, { token: server.token('ada'), rooms: ['chat/1'] })
  ada.send({ type: 'say', room: 'chat/1', id: 'a', data: { text: 'hi' } })
  await ada.next('ack')
  for (const file of ['rules', 'config']) {
    const tool = spawnSync('promtool', ['check', file, `${FOLDER}${file === 'rules' ? 'alerts' : 'prometheus'}.yml`], {
      encoding: 'utf8'
    })
    t.equal(tool.status, 0, tool.stdout + tool.stderr)
  }
  const prometheus = await startPrometheus(t, server)
  const ask = async (path: string): Promise<Answer> => await (await fetch(`${prometheus}/api/v1/${path}`)).json() as Answer
  const query = async (expr: string): Promise<Answer> => await ask(`query?query=${encodeURIComponent(expr)}`)
  // A rate takes two samples.
  await until('two scrapes', async () => {
    const { data } = await query('count_over_time(realtime_connections_max[1m])')
    return Number((data.result[0] as { value: [number, string] } | undefined)?.value[1] ?? 0) >= 2
  }, 30_000)
  for (const { title, expr } of queries) {
    const answer = await query(expr)
    t.match({ status: answer.status, error: answer.error }, { status: 'success', error: undefined }, `${title}: ${expr}`)
  }
  const { groups } = (await ask('rules') as unknown as {
    data: { groups: Array<{ rules: Array<{ name: string, query: string, health: string, lastError?: string }> }> }
  }).data
  const rules = groups.flatMap(({ rules }) => rules)
  t.ok(rules.length >= 15)
  const troubles = documentOf('docs/operate/troubles.md')
  for (const { name, query: expr } of TROUBLES) {
    t.ok(troubles.includes(`| ${name} | \`${expr}\` |`), `the page on troubles has ${name}`)
    t.equal((await query(expr)).status, 'success', name)
  }
  for (const { name, query: expr } of rules) t.equal((await query(expr)).status, 'success', name)

  const { body } = await server.app.inject({ url: '/ws/stats', headers: { authorization: `Bearer ${TOKEN}`, accept: 'text/plain' } })
  const known = new Set([...body.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!))
  const asked = [...queries.map(({ expr }) => expr), ...[...rules, ...TROUBLES].map(({ query: expr }) => expr)]
    .flatMap((expr) => [...expr.matchAll(/\brealtime_\w+/g)].map(([name]) => name))
  const wrong = asked.filter((name) => !known.has(name) && !known.has(name.replace(/_(bucket|count|sum)$/, '')))
  t.same(wrong, [], 'each metric that is asked for is one of the node')
  for (const title of ['Connections', 'Slots taken', 'Messages by name', 'Time of handlers, p99', 'Event loop delay by node']) {
    const found = queries.find((each) => each.title === title)!
    t.not((await query(found.expr)).data.result.length, 0, `${title} has a sample`)
  }
})

/** What a table of the page on metrics says: its first column, and the rest of the row. */
function rowsOf (head: string): Array<readonly [name: string, rest: string]> {
  const [, table = ''] = documentOf('docs/reference/metrics.md').split(`${head}\n`)
  return table.split('\n\n')[0]!.split('\n').flatMap((line) => {
    const [, names, rest] = /^\| (`.*?) \| (.*) \|$/.exec(line) ?? []
    return names === undefined ? [] : [...names.matchAll(/`(\w+)`/g)].map(([, name]) => [name!, rest!] as const)
  })
}

const wordsOf = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, word]) => word!)

/** Labels of each metric, by the table that is made from its registry. */
const LABELS = new Map(rowsOf('| metric | type | labels | |').map(([name, rest]) => [name, wordsOf(rest.split(' | ')[1]!)]))

/** Labels that Prometheus adds to each sample of a target. */
const ADDED = ['instance', 'job']

/** The values of each label by the same page; one label may have two rows. */
const VALUES = rowsOf('| label | values |')

/** The values that a label can have, of an app with the room `chat/:id` and no keys. */
const CLOSED: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(VALUES.map(([label]) =>
    [label, VALUES.flatMap(([of, values]) => of === label ? wordsOf(values) : [])])),
  code: [...Object.keys(codes), 'left', 'gone', 'other'],
  definition: ['chat/:id'],
  message: ['say', 'type'],
  event: ['said', 'typing', 'score'],
  key: [''],
  version: [VERSION]
}

/** The metric of a sample's name. */
function metricOf (name: string): string { return LABELS.has(name) ? name : name.replace(/_(bucket|count|sum)$/, '') }

/** What a query asks for: its metrics, the values of their labels, and the labels that a sum keeps. */
interface Asked {
  readonly metrics: readonly string[]
  readonly matched: ReadonlyArray<readonly [label: string, value: string]>
  readonly kept: readonly string[]
}

function askedOf (expr: string): Asked {
  return {
    metrics: [...expr.matchAll(/\brealtime_\w+/g)].map(([name]) => metricOf(name)),
    matched: [...expr.matchAll(/(\w+)=~?"([^"]*)"/g)].map(([, label, value]) => [label!, value!] as const),
    kept: [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, labels]) => labels!.split(/, */))
  }
}

t.test('the board, the rules and the troubles ask for labels that their metrics have, and for values that these can have', async (t) => {
  const rules = readFileSync(`${FOLDER}alerts.yml`, 'utf8').split('- alert: ').slice(1)
  const asked = [
    ...board.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr, legendFormat = '' }) => ({
      what: title, expr, named: [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!)
    }))),
    ...rules.map((text) => ({
      what: text.split('\n')[0]!,
      expr: /expr: (.*)/.exec(text)![1]!,
      named: [...text.matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label!)
    })),
    ...TROUBLES.map(({ name, query: expr }) => ({ what: name, expr, named: [] }))
  ]
  t.ok(asked.length > 50)
  for (const { what, expr, named } of asked) {
    const { metrics, matched, kept } = askedOf(expr)
    const unknown = metrics.filter((name) => !LABELS.has(name))
    t.same(unknown, [], `${what}: each metric is known`)
    const own = metrics.flatMap((name) => LABELS.get(name) ?? [])
    const has = new Set([...ADDED, ...own, ...(expr.includes('_bucket') ? ['le'] : [])])
    const used = [...matched.map(([label]) => label), ...kept]
    t.same(used.filter((label) => !has.has(label)), [], `${what}: each label is one of ${[...has].join()}`)
    // A sum keeps what it names alone.
    const left = /\bsum\b/.test(expr) ? new Set(kept) : has
    t.same(named.filter((label) => !left.has(label)), [], `${what}: each label that is shown is left`)
    for (const [label, value] of matched.filter(([name]) => !ADDED.includes(name))) {
      const values = CLOSED[label] ?? []
      t.same(value.split('|').filter((each) => !values.includes(each)), [], `${what}: ${label} can be ${value}`)
    }
  }
})

t.test('no label has a value that is not closed, whatever clients call rooms, messages, tokens and themselves', async (t) => {
  const server = await start(t, { stats: { token: TOKEN }, limits: { user: { connections: 2, then: 'reject' } } })
  const odd = 'odd-name-1'
  const ada = await connect(server, { token: server.token(odd), rooms: ['chat/1', `chat/${odd}`] })
  for (const [id, frame] of Object.entries({
    a: { type: 'say', room: `chat/${odd}`, data: { text: odd } },
    b: { type: 'say', room: 'chat/1', data: { [odd]: 1 } },
    c: { type: odd, room: 'chat/1', data: {} },
    d: { type: 'join', room: `${odd}/1` },
    e: { type: 'toString', room: '__proto__' },
    f: { type: 'auth', data: { ticket: odd } }
  })) {
    ada.send({ id, ...frame })
    await ada.next(id === 'a' ? 'ack' : 'error', (each) => each.id === id).catch(() => undefined)
  }
  await t.rejects(connect(server, { token: odd }), /a valid credential is needed/)
  await fetch(`${server.url}/ws/${odd}?${odd}=1`, { headers: { 'x-api-key': odd } })
  const headers = { authorization: `Bearer ${TOKEN}`, accept: 'text/plain' }
  const { body } = await server.app.inject({ url: '/ws/stats', headers })
  const samples = [...body.matchAll(/^(realtime_\w+)\{(.*)\} \S+$/gm)]
  t.ok(samples.length > 100)
  t.notMatch(body, odd)
  const open: string[] = []
  for (const [line, name, labels] of samples) {
    const own = LABELS.get(metricOf(name!)) ?? []
    for (const [, label = '', value = ''] of labels!.matchAll(/(\w+)="([^"]*)"/g)) {
      const isBound = label === 'le' && name!.endsWith('_bucket')
      if (!isBound && !(own.includes(label) && CLOSED[label]?.includes(value) === true)) open.push(line)
    }
  }
  t.same(open, [])
})

t.test('the board is one by the types that Grafana publishes, and its panels do not overlap', async (t) => {
  const name = fileURLToPath(new URL('board.ts', import.meta.url))
  // As an expression, so that words are compared with the unions of the types and no property is one too many.
  const text = `import type { Dashboard, Panel, RowPanel } from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen'
// An enum is its words in JSON.
type Plain<T> = T extends string ? \`\${T}\` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T
const board: Plain<Omit<Dashboard, 'panels'> & { panels: Array<Panel | RowPanel> }> = ${JSON.stringify(board)}
void board`
  const options = { strict: true, noEmit: true, skipLibCheck: true, module: ts.ModuleKind.NodeNext, types: [] }
  const host = ts.createCompilerHost(options)
  const { readFile, fileExists, getSourceFile } = host
  host.readFile = (file) => file === name ? text : readFile(file)
  host.fileExists = (file) => file === name || fileExists(file)
  host.getSourceFile = (file, ...rest) => file === name
    ? ts.createSourceFile(name, text, ts.ScriptTarget.ES2022, true, ts.ScriptKind.TS)
    : getSourceFile(file, ...rest)
  const faults = ts.getPreEmitDiagnostics(ts.createProgram([name], options, host))
  t.same(faults.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' ')), [])
  const ids = board.panels.map(({ id }) => id)
  t.equal(new Set(ids).size, ids.length)
  const cells = board.panels.flatMap(({ title, gridPos: { x, y, w, h } }) => {
    t.ok(x + w <= 24, title)
    return Array.from({ length: w * h }, (_, at) => `${x + at % w} ${y + Math.floor(at / w)}`)
  })
  t.equal(new Set(cells).size, cells.length, 'no two panels share a cell')
})
