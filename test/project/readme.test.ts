import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { resolveOptions } from '../../lib/options/resolve.js'
import { DEFAULTS } from '../../lib/options/defaults.js'
import { codes } from '../../lib/protocol/codes.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const README = readFileSync(`${ROOT}README.md`, 'utf8')

function chapter (title: string): string {
  const start = README.indexOf(`\n## ${title}\n`)
  if (start === -1) throw new Error(`the README has no chapter "${title}"`)
  const end = README.indexOf('\n## ', start + 1)
  return README.slice(start, end === -1 ? undefined : end)
}

/** The cells of the rows whose first cell is code. */
function rows (text: string): string[][] {
  return text.split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()))
}

function bare (cell: string): string { return cell.replace(/^`|`$/g, '') }

/** A value as the README writes it: `10_000`, `{ connections: 20, then: 'reject' }`. */
function written (value: unknown): string {
  if (typeof value === 'number') return value.toLocaleString('en').replaceAll(',', '_')
  if (typeof value === 'string') return `'${value}'`
  if (Array.isArray(value)) return `[${value.map(written).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    return `{ ${Object.entries(value).map(([key, each]) => `${key}: ${written(each)}`).join(', ')} }`
  }
  return String(value)
}

t.test('the table of codes is the table of the code', async (t) => {
  const documented = rows(chapter('Codes')).map(([word, ...cells]) => [bare(word!), ...cells])
  t.same(documented, Object.entries(codes).map(([word, row]) => [
    word, String(row.status), String(row.close ?? '-'), row.retry, row.message
  ]))
})

t.test('the table of options names every option, and each default is the one of the code', async (t) => {
  const documented = new Map(rows(chapter('Options')).map(([name, value]) => [bare(name!), bare(value!)]))
  const settings = resolveOptions({})
  const defaults: Record<string, unknown> = {
    prefix: DEFAULTS.prefix,
    'api.rate': DEFAULTS.apiRate,
    'auth.carriers': DEFAULTS.carriers,
    'auth.ticket.ttl': DEFAULTS.ticket,
    'auth.requireExp': settings.auth.requireExp,
    origins: settings.origins,
    capacity: DEFAULTS.capacity,
    'limits.user': settings.limits.user,
    'limits.pending': settings.limits.pending,
    'limits.rooms': DEFAULTS.rooms,
    'limits.message': DEFAULTS.message,
    'limits.rate': DEFAULTS.rate,
    'limits.event': DEFAULTS.event,
    'limits.outbox': DEFAULTS.outbox,
    'limits.remembered.bytes': DEFAULTS.remembered.bytes,
    'limits.remembered.perUser': DEFAULTS.remembered.perUser,
    'limits.whenUnavailable': settings.limits.whenUnavailable,
    'history.size': DEFAULTS.history.size,
    'history.ttl': DEFAULTS.history.ttl,
    'history.bytes': DEFAULTS.history.bytes,
    'presence.grace': DEFAULTS.presence.grace,
    'presence.lease': DEFAULTS.presence.lease,
    heartbeat: DEFAULTS.heartbeat,
    'sse.comment': DEFAULTS.comment,
    'sse.age': DEFAULTS.streamAge,
    compression: settings.compression,
    'drain.rate': DEFAULTS.drain.rate,
    'drain.timeout': DEFAULTS.drain.timeout,
    'timeouts.handler': DEFAULTS.handlerTimeout,
    'timeouts.authentication': DEFAULTS.authenticationTimeout,
    'timeouts.upgrade': DEFAULTS.upgradeTimeout,
    'timeouts.close': DEFAULTS.closeTimeout,
    'timeouts.write': DEFAULTS.writeTimeout
  }
  for (const [name, value] of Object.entries(defaults)) t.equal(documented.get(name), written(value), name)

  // An unknown key is answered with the known ones.
  const known = (path: string[]): string[] => {
    const options = path.reduceRight<object>((inner, key) => ({ [key]: inner }), { zzzzzzzz: 1 })
    try {
      resolveOptions(options)
      return []
    } catch (error) {
      return /known here: (.+)$/.exec((error as Error).message)?.[1]?.split(', ') ?? []
    }
  }
  const leaves = (path: string[]): string[] => {
    const keys = known(path)
    return keys.length === 0 ? [path.join('.')] : keys.flatMap((key) => leaves([...path, key]))
  }
  const whole = ['jwt', 'websocket', 'route', 'limits.user', 'limits.pending', 'limits.rate', 'compression']
  const all = leaves([]).map((path) => whole.find((each) => path.startsWith(`${each}.`)) ?? path)
  const hasRow = (path: string): boolean =>
    [...documented.keys()].some((name) => name === path || name.startsWith(`${path}.`))
  t.same([...new Set(all)].filter((path) => !hasRow(path)), [], 'every option has a row')
  t.same(
    [...documented.keys()].filter((name) => !all.some((path) => path === name || name.startsWith(`${path}.`))),
    [],
    'every row is an option'
  )
})

t.test('the bounds without an option are those of the code', async (t) => {
  const text = chapter('Options').split('\n').find((line) => line.startsWith('Bounds without an option:'))!
  t.same([...text.matchAll(/`([\d_]+)`/g)].map(([, value]) => value), [
    DEFAULTS.streamRooms, DEFAULTS.pollWait, DEFAULTS.ticketsPerUser, DEFAULTS.tickets,
    DEFAULTS.idempotency, DEFAULTS.presenceList, DEFAULTS.tolerance
  ].map(written))
})

t.test('the code of the README is the code of files that are compiled with the example', async (t) => {
  const quoted = [...README.matchAll(/<!-- example\/readme\/(\S+) -->\n```ts\n([^]*?)\n```\n/g)]
  for (const [, file, text] of quoted) {
    t.equal(text, readFileSync(`${ROOT}example/readme/${file!}`, 'utf8').trimEnd(), file!)
  }
  t.equal(quoted.length, README.split('```ts\n').length - 1, 'no other TypeScript stands there')
  const files = readdirSync(`${ROOT}example/readme`).filter((file) => file.endsWith('.ts') && file !== 'build.ts')
  t.same(files.filter((file) => !quoted.some(([, name]) => name === file)), [], 'every file is quoted')
})

t.test('every link of the README to a chapter or a file leads somewhere', async (t) => {
  const slugs = new Set([...README.matchAll(/^#+ (.+)$/gm)]
    .map(([, title]) => title!.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-')))
  for (const [, target] of README.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (target!.startsWith('#')) t.ok(slugs.has(target!.slice(1)), target!)
    else if (!/^https?:/.test(target!)) t.ok(existsSync(`${ROOT}${target!}`), target!)
  }
})

t.test('the test that the README shows passes', async (t) => {
  const child = spawn(process.execPath, ['--import', 'tsx', '--test', 'example/readme/testing.ts'], {
    cwd: ROOT,
    // The runner's own variables would make it report to tap in its place.
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += String(chunk) })
  const [code] = await once(child, 'exit') as [number | null]
  t.equal(code, 0, output)
})
