import { readdirSync, readFileSync } from 'node:fs'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import ts from 'typescript'
import * as misuse from '../../lib/errors/misuse.js'
import realtime, { defineRoom } from '../../lib/index.js'
import { resolveOptions } from '../../lib/options/resolve.js'
import { DEFAULTS } from '../../lib/options/defaults.js'
import { MAX_FRAGMENTS } from '../../lib/transports/websocket-link.js'
import { codes, isCode, type Retry } from '../../lib/protocol/codes.js'
import { CLIENT_FRAMES, frameSchema, SERVER_FRAMES } from '../../lib/protocol/frame-schemas.js'
import { RESERVED_TYPES } from '../../lib/protocol/frames.js'
import { RESERVED_SEGMENTS } from '../../lib/rooms/declaration.js'
import { fill } from '../../scripts/documents/fill.js'
import { documentOf, PAGES, proseOf, ROOT, rowsOf } from '../helpers/documents.js'

const CODES = documentOf('docs/reference/codes.md')
const OPTIONS = documentOf('docs/reference/options.md')

function bare (cell: string): string { return cell.replace(/^`|`$/g, '') }

/** What a user may be told to do after a code of each kind of `retry`. */
const TO_DO: Readonly<Record<Retry, string>> = {
  now: 'retry',
  backoff: 'retry',
  refresh: 'log in again',
  never: 'give up'
}

/** A value as the reference writes it: `10_000`, `{ connections: 20, then: 'reject' }`. */
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
  const documented = rowsOf(CODES.split('\n## ')[0]!).map(([word, ...cells]) => [bare(word!), ...cells])
  t.same(documented, Object.entries(codes).map(([word, row]) => [
    word, String(row.status), String(row.close ?? '-'), row.retry, row.message
  ]))
})

t.test('the table of options names every option, and each default is the one of the code', async (t) => {
  const documented = new Map(rowsOf(OPTIONS).map(([name, value]) => [bare(name!), bare(value!)]))
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
    'health.loopDelay': DEFAULTS.health.loopDelay,
    'health.capacity': DEFAULTS.health.capacity,
    'tracing.toClients': settings.tracing.toClients,
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

/** The codes with which the client itself refuses, or says that something is broken. */
function codesOfClient (): Set<string> {
  const found = new Set<string>()
  const words = (node: ts.Node | undefined): void => {
    if (node === undefined) return
    if (ts.isConditionalExpression(node)) [node.whenTrue, node.whenFalse].forEach(words)
    else if (ts.isStringLiteral(node) && /^[a-z_]+$/.test(node.text) && !isCode(node.text)) found.add(node.text)
  }
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isIdentifier(node.expression)) {
      if (node.expression.text === 'refused') words(node.arguments[0])
      if (node.expression.text === 'broken') words(node.arguments[1])
    }
    ts.forEachChild(node, visit)
  }
  const files = readdirSync(`${ROOT}lib/client`, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
  for (const path of files) {
    visit(ts.createSourceFile(path, documentOf(`lib/client/${path}`), ts.ScriptTarget.Latest, true))
  }
  return found
}

t.test('the list of the client\'s own codes has each of them, and no other', async (t) => {
  const list = documentOf('docs/reference/client.md').split('\n').filter((line) => line.startsWith('  - `'))
  const named = list.flatMap((line) => [...line.split(':')[0]!.matchAll(/`([a-z_]+)`/g)].map(([, word]) => word!))
  const known = [...codesOfClient()]
  t.ok(known.length >= 10, `${known.length} codes`)
  t.same([...new Set(named)].filter((word) => known.includes(word) || !isCode(word)).sort(), known.sort())
})

/** Names and types of the properties of an interface, without their comments. */
function shapeOf (source: string, name: string): Record<string, string> {
  const file = ts.createSourceFile('types.ts', source, ts.ScriptTarget.Latest, true)
  const found = file.statements.find((each): each is ts.InterfaceDeclaration =>
    ts.isInterfaceDeclaration(each) && each.name.text === name)
  const plain = (node: ts.Node): string => node.getText()
    .replaceAll(/\/\*\*.*?\*\//g, '').replaceAll(/[\s,;]+/g, ' ').replaceAll(/ ?([{}<>]) ?/g, '$1')
  const shape: Record<string, string> = {}
  for (const member of found?.members ?? []) {
    if (ts.isPropertySignature(member)) shape[member.name.getText()] = plain(member.type!)
  }
  return shape
}

t.test('the shapes of results in the reference are those of the types', async (t) => {
  const page = documentOf('docs/reference/rooms.md')
  const shapes = [...page.matchAll(/<!-- shape: (\w+) -->\n```ts\n(.+?)```/gs)]
  t.ok(shapes.length > 0)
  for (const [, name, shape] of shapes) {
    t.same(shapeOf(shape!, name!), shapeOf(documentOf('lib/types/rooms.ts'), name!), name!)
  }
})

/** What a frame has: `?` behind the name of what may be absent, and what is within, where that is known. */
interface Shape { readonly [field: string]: Shape | null }

/** Reads `{ room, data?: { since? } }` as the pages write it. */
function shapeWritten (text: string): Shape {
  const words = text.match(/[\w<>]+\??|\.{3}|'[^']*'|[{}]/g) ?? []
  const read = (): Shape => {
    const shape: Record<string, Shape | null> = {}
    for (let word = words.shift(); word !== undefined && word !== '}'; word = words.shift()) {
      if (words[0]?.startsWith("'") === true) words.shift()
      const isNested = words[0] === '{'
      if (isNested) words.shift()
      shape[word] = isNested ? read() : null
    }
    return shape
  }
  words.shift()
  return read()
}

/** The shape that a JSON schema has. */
function shapeOfSchema (schema: unknown): Shape | null {
  const { properties, required = [], additionalProperties } = schema as {
    properties?: Record<string, object>, required?: string[], additionalProperties?: unknown
  }
  if (properties === undefined) {
    return typeof additionalProperties === 'object' ? { '<name>': shapeOfSchema(additionalProperties) } : null
  }
  return Object.fromEntries(Object.entries(properties)
    .map(([name, each]) => [required.includes(name) ? name : `${name}?`, shapeOfSchema(each)]))
}

/** Compares what a page says with the schema, as deep as the page goes. Whoever wants an answer gives an `id`. */
function sameShape (t: Test, written: Shape, known: Shape | null, title: string): void {
  const names = (shape: Shape | null): string[] => Object.keys(shape ?? {}).map((name) => name.replace(/^id\?$/, 'id'))
  const isPart = '...' in written
  const given = names(written).filter((name) => name !== '...' && name !== 'type')
  const all = names(known).filter((name) => name !== 'type')
  t.same(given.sort(), (isPart ? all.filter((name) => given.includes(name)) : all).sort(), title)
  for (const [name, inner] of Object.entries(written)) {
    if (inner !== null) sameShape(t, inner, known![name] ?? null, `${title}: ${name}`)
  }
}

/** The fields with which the cell of a table begins: up to its first colon, what stands in brackets left out. */
function fieldsOf (cell: string): Shape {
  const head = /^(?:`[^`]*`|[^:`])*/.exec(cell.replaceAll(/\([^)]*\)/g, ''))![0]
  return shapeWritten(`{ ${[...head.matchAll(/`([^`]+)`/g)].map(([, code]) => code!).join(', ')} }`)
}

const WIRE = documentOf('docs/reference/wire-protocol.md')
const schemaOf = (frames: typeof CLIENT_FRAMES, type: string): Shape | null =>
  shapeOfSchema(frameSchema(type, frames[type]?.fields ?? {}))

t.test('the frames to the server that the wire protocol lists, and their fields, are those of the schemas and of the types', async (t) => {
  const table = WIRE.split('\n## Frames to the server\n')[1]!.split('\n#')[0]!
  const frames = rowsOf(table).flatMap(([cell]) => [...cell!.matchAll(/`(\{ type: '([^']+)'.*?\})`/g)])
    .map(([, text, type]) => [type!, shapeWritten(text!)] as const)
  const [message, ...others] = frames
  sameShape(t, message![1], { room: null, 'id?': null, data: null, 'traceparent?': null }, 'a message')
  t.same(others.map(([type]) => type).sort(), Object.keys(CLIENT_FRAMES).sort())
  for (const [type, written] of others) sameShape(t, written, schemaOf(CLIENT_FRAMES, type), type)
  const types = [...documentOf('lib/protocol/frames.ts').matchAll(/interface \w+Command [^{]*\{\s+readonly type: ([^,\n]+)/g)]
    .flatMap(([, words]) => [...words!.matchAll(/'(\w+)'/g)].map(([, word]) => word!))
  t.same([...types].sort(), ['message', ...Object.keys(CLIENT_FRAMES)].sort())
  const join = /The ack of a join has `(.+?)`/.exec(WIRE)![1]!
  sameShape(t, shapeWritten(join), shapeOfSchema(SERVER_FRAMES.joined!.fields.data), 'the ack of a join')
  const listed = WIRE.split('The ack of a join has ')[1]!.split('\n## ')[0]!.split('\n').filter((line) => /^- /.test(line))
    .flatMap((line) => [...line.matchAll(/`(\w+)`(?:: | and )/g)].map(([, word]) => word!))
  t.same(listed.filter((word) => !(`${word}?` in shapeWritten(join))), [], 'each item of the list is in it')
})

t.test('the frames from the server that the wire protocol lists, and their fields, are those of the schemas and of the types', async (t) => {
  const table = WIRE.split('\n## Frames from the server\n\n')[1]!.split('\n\n')[0]!
  const rows = table.split('\n').slice(2).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()))
  const named = rows.flatMap(([cell, fields]) => cell!.split(', ').map((type) => [bare(type), fieldsOf(fields!)] as const))
  const frames = named.filter(([type]) => type !== 'a declared event')
  t.same(frames.map(([type]) => type).sort(), Object.keys(SERVER_FRAMES).sort())
  for (const [type, written] of frames) sameShape(t, written, schemaOf(SERVER_FRAMES, type), type)
  const source = documentOf('lib/protocol/server-frames.ts')
  t.same([...source.matchAll(/readonly type: '(\w+)'/g)].map(([, type]) => type!).sort(), Object.keys(SERVER_FRAMES).sort())
  const event = /interface EventFrame \{(.+?)\n\}/s.exec(source)![1]!
  const fields = [...event.matchAll(/readonly (\w+\??):/g)].map(([, name]) => [name!, null] as const)
  sameShape(t, named.find(([type]) => type === 'a declared event')![1],
    Object.fromEntries([...fields, ['traceparent?', null]]), 'an event')
})

t.test('the URLs of the reference are the routes that the plugin registers', async (t) => {
  const routes = new Set<string>()
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const plain = (url: string): string => url.replace(/\?.*/, '').replace(/\/(?:<[^>]+>|:\w+|\*)$/, '/<>')
    .replace(/^\/ws\/api\/.*/, '/ws/api/...')
  app.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) {
      if (each !== 'HEAD' && each !== 'OPTIONS' && url.startsWith('/ws')) routes.add(`${each} ${plain(url)}`)
    }
  })
  await app.register(realtime, {
    jwt: { secret: 'x' },
    stats: { token: 'scraper', actions: true },
    api: { keys: [{ name: 'shop', key: 'k'.repeat(32), rooms: ['chat/*'], may: ['publish'] }] }
  })
  app.room(defineRoom('chat/:id', {}))
  await app.ready()
  const documented = rowsOf(documentOf('docs/reference/urls.md')).flatMap(([cell]) => {
    let method = ''
    return [...cell!.matchAll(/`(?:(GET|POST) )?(\/ws[^`]*)`/g)].map(([, word, url]) => {
      method = word ?? method
      return `${method} ${plain(url!)}`
    })
  })
  const isApi = (route: string): boolean => route.endsWith('/ws/api/...')
  t.ok([...routes].some(isApi) && documented.some(isApi), 'those of the server API have a page of their own')
  const others = (all: Iterable<string>): string[] => [...new Set(all)].filter((each) => !isApi(each)).sort()
  t.same(others(documented), others(routes))
})

t.test('the names that no room, message or event may have are those of the code', async (t) => {
  const lines = documentOf('docs/reference/contracts.md').split('\n')
  const words = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, word]) => word!)
  t.same(words(lines.find((line) => line.startsWith('- No message and no event has one of'))!), [...RESERVED_TYPES])
  const urls = /one of our URLs \(([^)]+)\)/.exec(lines.join('\n'))![1]!
  t.same(words(urls), [...RESERVED_SEGMENTS])
})

/** The names of what an interface of a file declares, without what it inherits. */
function membersOf (path: string, name: string): string[] {
  const file = ts.createSourceFile(path, documentOf(path), ts.ScriptTarget.Latest, true)
  const found = file.statements.find((each): each is ts.InterfaceDeclaration =>
    ts.isInterfaceDeclaration(each) && each.name.text === name)
  return found!.members.map((member) => member.name!.getText())
}

t.test('the options of a room, and what a handler is given, are those of the types', async (t) => {
  const page = documentOf('docs/reference/handlers.md')
  const table = page.split('| option of `app.room` |')[1]!.split('\n\n')[0]!
  const options = rowsOf(table).flatMap(([cell]) => [...cell!.matchAll(/`(\w+)/g)].map(([, word]) => word!))
  t.same(options.sort(), [...membersOf('lib/types/room-options.ts', 'CommonRoomOptions'), 'on', 'presence'].sort())
  const context = page.split('\n').find((line) => line.startsWith('A context holds '))!.split('. ')[0]!
  const given = [...context.replaceAll(/\([^)]*\)/g, '').matchAll(/`(\w+)`/g)].map(([, word]) => word!)
  t.same(given.sort(), ['RoomContext', 'MessageContext'].flatMap((name) => membersOf('lib/types/handlers.ts', name)).sort())
  const methods = rowsOf(page.split('The `room` of a context has its `name`')[1]!.split('\nEverything else')[0]!)
  t.same(methods.map(([call]) => /\w+/.exec(call!)![0]).sort(),
    membersOf('lib/types/handlers.ts', 'RoomHandle').filter((name) => name !== 'name').sort())
})

t.test('each code that a client meets has one plain sentence for its user, and what to do that fits how it may come back', async (t) => {
  const rows = rowsOf(CODES.split('\n## What to show the user\n')[1]!)
  t.same(rows.map(([word]) => bare(word!)).sort(), [...Object.keys(codes), ...codesOfClient(), 'refused'].sort())
  for (const [cell, toDo, sentence] of rows) {
    const word = bare(cell!)
    if (isCode(word)) t.equal(toDo, TO_DO[codes[word].retry], word)
    t.ok(Object.values(TO_DO).includes(toDo!), `${word}: ${toDo}`)
    t.match(sentence, /^[A-Z][^`]+[.]$/, word)
    t.ok(sentence!.length <= 80, `${word} is short`)
  }
})

t.test('each end of a text that the reference names has a sentence for the user', async (t) => {
  const table = documentOf('docs/reference/rooms.md').split('| what happened |')[1]!.split('\n\n')[0]!
  const ends = table.split('\n').slice(2).flatMap((row) => {
    return [...row.split('|')[3]!.matchAll(/`'?(\w+)'?`/g)].map(([, word]) => word!)
  })
  const rows = rowsOf(CODES.split('\n## How a text ends\n')[1]!.split('\n## ')[0]!)
  t.ok(ends.length > 5, `${ends.length} ends`)
  t.same(rows.map(([word]) => bare(word!)).sort(), [...new Set(ends)].filter((end) => end !== 'code' && end !== 'statusCode').sort())
  for (const [word, , sentence] of rows) t.match(sentence, /^[A-Z][^`]+[.]$/, word!)
})

t.test('the bounds without an option are those of the code', async (t) => {
  const text = OPTIONS.split('\n').find((line) => line.startsWith('Bounds without an option:'))!
  t.same([...text.matchAll(/`([\d_]+)`/g)].map(([, value]) => value), [
    DEFAULTS.streamRooms, MAX_FRAGMENTS, DEFAULTS.pollWait, DEFAULTS.ticketsPerUser, DEFAULTS.tickets,
    DEFAULTS.idempotency, DEFAULTS.presenceList, DEFAULTS.tolerance
  ].map(written))
})

t.test('the table of errors has each code of a misuse, and the page lists the messages of each', async (t) => {
  const page = documentOf('docs/reference/errors.md')
  const contract = readFileSync(`${ROOT}lib/contract/define-room.ts`, 'utf8')
  const known = [
    ...Object.keys(misuse).filter((name) => name.startsWith('REALTIME_ERR_')),
    ...[...contract.matchAll(/'(REALTIME_ERR_\w+)'/g)].map(([, code]) => code!)
  ]
  const documented = rowsOf(page).map(([code]) => bare(code!))
  t.same(documented.sort(), [...new Set(known)].sort())
  for (const code of documented) {
    const part = page.slice(page.indexOf(`\n## ${code}\n`)).split('\n')
    t.equal(part[1], `## ${code}`)
    // Where the messages are not written by hand, they are those of the source.
    if (!part[3]!.startsWith('- ')) t.equal(part[3], `<!-- table: messages of ${code} -->`)
    t.ok(part.slice(4, 6).some((line) => line.startsWith('- ')), `${code} has messages`)
  }
})

t.test('the metrics, and the figures of benchmarks, are those of the registry and of bench/', async (t) => {
  let count = 0
  for (const path of [...PAGES, 'example/README.md', 'bench/AIMS.md']) {
    const text = documentOf(path)
    count += [...text.matchAll(/<!-- (?:figure|table): /g)].length
    t.equal(fill(text), text, `${path}; npm run docs:figures brings it up to date`)
  }
  t.ok(count > 10, `${count} places`)
})

/** The sentences of a page, each with `§` in the place of a figure that is taken out of bench/. */
function sentencesOf (page: string): string[] {
  return proseOf(page)
    .replaceAll(/<!-- figure: .+? -->.*?<!-- end -->/g, '§')
    .replaceAll(/`[^`\n]*`/g, '')
    .split(/\n+|(?<=[.!?]) (?=[^a-z])/)
}

const MEASURED = /\bmeasured\b|\bour (?:own )?(?:measurement|benchmark)|\bin our runs?\b|\]\(\S*bench\/\w+\.md\)/i
const AMOUNT = /(?<![\w-])\d[\d ]*(?:\.\d+)? ?(?:µs|ms|s|[kM]B|[KMG]iB|bytes|%|times)(?!\w)/
const IN_WORDS = /\b(?:twice|half|tenths?|hundredths?|times as|(?:one|two|three|four|five|ten) (?:to \w+ )?(?:milli)?seconds?)\b/

t.test('what a page says was measured is a figure out of bench/, or has no amount', async (t) => {
  let count = 0
  for (const page of PAGES) {
    for (const sentence of sentencesOf(page)) {
      if (!MEASURED.test(sentence)) continue
      count++
      if (!sentence.includes('§') && (AMOUNT.test(sentence) || IN_WORDS.test(sentence))) t.fail(`${page}: ${sentence}`)
    }
  }
  t.ok(count > 10, `${count} sentences`)
})
