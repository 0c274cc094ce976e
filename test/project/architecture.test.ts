import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { files, graph, isOurs, LIB, loaded } from '../helpers/imports.js'

t.test('the imports were read: the composition root loads the rooms, and types are told from values', async (t) => {
  t.ok(loaded('plugin/plugin.ts').has('rooms/hub.ts'))
  t.match(graph.get('dispatch/dispatch.ts')!.find(({ target }) => target === 'dispatch/broadcast-acks.ts'), {
    isType: true
  })
  t.match(graph.get('dispatch/dispatch.ts')!.find(({ target }) => target === 'structures/buckets.ts'), {
    isType: false
  })
})

t.test('every import of ours is a file that exists', async (t) => {
  for (const [file, imports] of graph) {
    for (const { target } of imports) if (isOurs(target)) t.ok(graph.has(target), `${file} imports ${target}`)
  }
})

t.test('there is no cycle of imports, type imports counted', async (t) => {
  const done = new Set<string>()
  const cycles: string[] = []
  const walk = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file)
    if (at !== -1) {
      cycles.push([...path.slice(at), file].join(' -> '))
      return
    }
    if (done.has(file)) return
    for (const { target } of graph.get(file) ?? []) if (isOurs(target)) walk(target, [...path, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
  t.same(cycles, [])
})

/**
 * The folders of lib, the one that composes first: each imports of ours nothing but itself and what stands below it,
 * types included.
 */
const LAYERS = [
  'gateway/', 'otel/', 'index.ts', 'adapters/index.ts', 'adapters/contract/', 'plugin/', 'server-api/', 'conformance/', 'testing/', 'bridge/', 'app/', 'endpoint/', 'dispatch/', 'admission/', 'auth/', 'stats/', 'server/', 'transports/', 'rooms/',
  'connection/', 'options/', 'ai/', 'react/', 'vue/', 'views/', 'types/', 'adapters/redis.ts', 'adapters/nats.ts', 'adapters/redis/', 'adapters/nats/', 'adapters/cluster/', 'adapters/memory/', 'adapters/broker/',
  'adapters/history/', 'adapters/', 'retention/', 'errors/', 'diagnostics/', 'client/', 'protocol/', 'contract/', 'structures/', 'version.ts'
]

function layerOf (file: string): number { return LAYERS.findIndex((layer) => file.startsWith(layer)) }

t.test(
  'the folders stand in an order, and no import goes upward: so there is no cycle of folders either',
  async (t) => {
    t.same(files.filter((file) => layerOf(file) === -1), [], 'name its folder among the layers')
    const upward = files.flatMap((file) => graph.get(file)!
      .filter(({ target }) => isOurs(target) && layerOf(target) < layerOf(file))
      .map(({ target }) => `${file} imports ${target}`))
    t.same(upward, [])
  }
)

t.test('the root of lib holds the entry point and the version, nothing else', async (t) => {
  t.same(files.filter((file) => !file.includes('/')), ['index.ts', 'version.ts'])
})

/** Below some folders, what of ours they may import, where that is less than all that stands below them. */
const MAY: Record<string, RegExp> = {
  // An application like any other: what it needs of the plugin, everybody can have.
  'gateway/': /^(conformance\/kit\.ts$|gateway\/|index\.ts$|client\/index\.ts$|adapters\/(redis|nats)\/index\.ts$|structures\/(pauses|seldom|text-bytes|timers)\.ts$|version\.ts$)/,
  'contract/': /^contract\//,
  'structures/': /^structures\//,
  'diagnostics/': /^((diagnostics|protocol)\/|structures\/awaitable\.ts$)/,
  // What makes spans knows no rooms and no messages, only what it is told of them.
  'otel/': /^(otel\/|diagnostics\/tracer\.ts$|protocol\/traceparent\.ts$|structures\/awaitable\.ts$|version\.ts$)/,
  'protocol/': /^(protocol|contract)\//,
  'errors/': /^((errors|protocol)\/|structures\/seldom\.ts$)/,
  'connection/': /^(connection|protocol|errors|structures)\//,
  'retention/': /^(retention|protocol|structures)\//,
  'rooms/': /^((rooms|protocol|contract|retention|errors|diagnostics|structures)\/|adapters\/(adapter|broker\/stored)\.ts$)/,
  'server/': /^(server|protocol|errors|structures)\//,
  'transports/': /^(transports|connection|protocol|structures)\//,
  'ai/': /^((ai|client|contract)\/|types\/streams\.ts$)/,
  'react/': /^(react|views|client|contract)\//,
  'vue/': /^(vue|views|client|contract)\//,
  'views/': /^((views|client|contract)\/|protocol\/part\.ts$)/,
  'client/': /^(client\/|contract\/|protocol\/(position|codes|close-codes|packet|part|text-check|frames|server-frames)\.ts$)/
}

for (const [place, allowed] of Object.entries(MAY)) {
  t.test(`${place} imports nothing of ours but what it may`, async (t) => {
    const own = files.filter((file) => file.startsWith(place))
    t.ok(own.length > 0)
    for (const file of own) {
      const wrong = graph.get(file)!.filter(({ target }) => isOurs(target) && !allowed.test(target))
        .map(({ target }) => target)
      t.same(wrong, [], file)
    }
  })
}

t.test('connections and rooms know nothing of fastify', async (t) => {
  for (const file of files.filter((name) => /^(connection|rooms|protocol|contract)\//.test(name))) {
    t.same(graph.get(file)!.filter(({ target }) => target === 'fastify' || target.startsWith('@fastify/')), [], file)
  }
})

/** A connection and a room, or what holds them all, by the files of their types. */
const A_CONNECTION = /^connection\/(connection|connections)\.ts$/
const A_ROOM = /^rooms\/(hub|room|membership)\.ts$/

function knowsBoth (targets: readonly string[]): boolean {
  return targets.some((target) => A_CONNECTION.test(target)) && targets.some((target) => A_ROOM.test(target))
}

t.test(
  'connections and rooms act on each other in the dispatcher; outside it and the composition nobody knows both, types counted',
  async (t) => {
    const both = files.filter((file) => knowsBoth(graph.get(file)!.map(({ target }) => target)))
    t.ok(both.includes('dispatch/dispatch.ts'), 'the dispatcher does')
    // One file gives the pair its name, for those who decide about both without looking into either.
    t.same(both.filter((file) => !/^(dispatch|plugin)\//.test(file)), ['admission/peer.ts'])
  }
)

t.test('the composition alone loads both connections and rooms', async (t) => {
  const both = files.filter((file) => knowsBoth(
    graph.get(file)!.filter(({ isType }) => !isType).map(({ target }) => target)
  ))
  t.same(both.filter((file) => !file.startsWith('plugin/')), [])
  t.ok(both.length > 0)
})

/** What a node may never need. */
const LATER = [
  'prom-client',
  '@fastify/jwt',
  '@sinclair/typebox/value',
  'server-api/server-api.ts',
  'endpoint/client-script/built.ts',
  'stats/dashboard/built.ts'
]

t.test('a node that starts loads nothing that it may never need: it is imported when it is asked for', async (t) => {
  const all = loaded('index.ts')
  t.same(LATER.filter((target) => !all.has(target)), [], 'each is loaded somewhere')
  const atStart = loaded('index.ts', false)
  t.ok(atStart.has('plugin/node.ts'))
  t.same(LATER.filter((target) => atStart.has(target)), [])
})

/** Server only: a browser never loads them. */
const SERVER_ONLY = [
  'protocol/validate.ts',
  'protocol/schema.ts',
  'protocol/formats.ts',
  'protocol/regexp.ts',
  'protocol/json.ts',
  'protocol/asyncapi.ts',
  'protocol/work.ts',
  'protocol/any-schema.ts',
  'protocol/json-schema.ts',
  'protocol/load.ts',
  'protocol/ajv.ts',
  'protocol/typebox-1.ts'
]

t.test('the contract and the protocol load nothing at run time that a browser does not have', async (t) => {
  for (const file of files.filter((name) => /^(contract|protocol)\//.test(name) && !SERVER_ONLY.includes(name))) {
    t.same([...loaded(file)].filter((target) => !isOurs(target) || SERVER_ONLY.includes(target)), [], file)
  }
})

t.test('the client loads nothing at run time but itself, the close codes and the check of texts', async (t) => {
  const others = [...loaded('client/index.ts')].filter((target) => !target.startsWith('client/'))
  t.same(others.sort(), ['protocol/close-codes.ts', 'protocol/text-check.ts'])
})

/** Files in which parts are joined by one character, and why none of these texts can be taken for another. */
const JOINED: Readonly<Record<string, string>> = {
  'rooms/built-in.ts': 'room names, whose parts are escaped',
  'dispatch/broadcast-acks.ts': 'ids of two random parts without the joint',
  'dispatch/idempotency.ts': 'JSON, which has no raw line break, stands behind a key',
  'client/check-options.ts': 'the word of a type, which is matched, not kept',
  'adapters/broker/envelopes.ts': 'a tag is of one length; the lines of a message',
  'adapters/cluster/call-key.ts': 'a call is a number',
  'adapters/redis/control.ts': 'the id of a stream, which is numbers',
  'adapters/nats/latest.ts': 'prefix and tokens have no dot',
  'adapters/nats/lost-values.ts': 'prefix and tokens have no dot; a tag is of one length, a number has no @',
  'adapters/nats/version-clocks.ts': 'a time is a number',
  'adapters/nats/publishing.ts': 'a tag is of one length, an epoch too; the lines of a message',
  'adapters/nats/streams.ts': 'prefix, hash and token have no dot, the hash no _',
  'adapters/nats/texts.ts': 'prefix and tokens have no dot; an epoch is of one length; the lines of a message',
  'adapters/nats/tokens.ts': 'a token has no dot',
  'adapters/nats/held.ts': 'a mark is of two words, and read from the end',
  'adapters/broker/nodes.ts': 'a tag is one word, a time a number',
  'adapters/nats/adapter.ts': 'prefix and token have no dot; the lines of a message',
  'adapters/redis/adapter.ts': 'the lines of a message',
  'adapters/redis/known.ts': 'an epoch is one word, the others are numbers',
  'adapters/redis/keys.ts': 'a room stands in braces, which no prefix and no room has',
  'adapters/redis/shards.ts': 'a host and its port, as the client of a cluster names a shard',
  'adapters/redis/publishing.ts': 'a tag is of one length',
  'adapters/redis/values.ts': 'a tag is of one length',
  'adapters/broker/payload.ts': 'the lines of a message',
  'adapters/broker/text-payload.ts': 'the lines of a message, of which JSON has none',
  'client/client.ts': 'what a URL asks for',
  'client/texts.ts': 'what a URL asks for',
  'conformance/kit.ts': 'a URL',
  'conformance/script.ts': 'words for people',
  'rooms/census.ts': 'a kind is one of two words, a shard a number',
  'client/queue.ts': 'a prefix is of one length',
  'protocol/packet.ts': 'JSON',
  'protocol/part.ts': 'JSON',
  'views/held-room.ts': 'the name of an event has no space',
  'views/sources.ts': 'the name of an event has no space, and a number none either',
  'client/growing-texts.ts': 'the name of an event has no space',
  'protocol/cursor.ts': 'parts of closed alphabets',
  'protocol/key.ts': 'the rule itself',
  'adapters/options.ts': 'the path of an option, which is shown',
  'errors/explain.ts': 'the path of an option, which is shown',
  'server/foreign-upgrades.ts': 'the head of an HTTP request',
  'protocol/schema.ts': 'paths that are shown',
  'protocol/json-schema.ts': 'paths that are shown',
  'protocol/parts.ts': 'JSON',
  'protocol/work.ts': 'words for people',
  'protocol/checker.ts': 'a JSON pointer, whose steps are escaped',
  'protocol/validate.ts': 'a path that is shown, not looked up',
  'otel/realtime-tracer.ts': 'the name of a span, which is shown',
  'gateway/hooks/backend.ts': 'a hook and an outcome are words without a space',
  'client/share.ts': 'the id of a tab and a number have no space, and stand last',
  'client/share-hub.ts': 'the id of a tab has no space, and stands last',
  'app/reply-position.ts': 'the name of a room has neither a space nor a comma, an epoch no colon'
}

/** Documents, URLs and words for people are made here. */
const NO_KEYS =
  /^(protocol\/(asyncapi|published-schemas)|endpoint\/welcome|server\/refused-sockets)\.ts$|^(options|testing|stats|client\/links|adapters\/contract|gateway\/(config|commands))\/|^gateway\/[\w-]+\.ts$/

t.test(
  'keys of several parts are made by one function: nothing else joins parts by a character that they may hold',
  async (t) => {
    for (const file of files.filter((name) => !NO_KEYS.test(name) && !(name in JOINED))) {
      const source = ts.createSourceFile(file, readFileSync(join(LIB, file), 'utf8'), ts.ScriptTarget.Latest, true)
      const joined: string[] = []
      const visit = (node: ts.Node): void => {
        if (ts.isTemplateExpression(node) &&
          node.templateSpans.slice(0, -1).some(({ literal }) => literal.text.length === 1)) {
          joined.push(node.getText(source))
        }
        ts.forEachChild(node, visit)
      }
      visit(source)
      t.same(
        joined,
        [],
        `${file}: make a key by keyOf of protocol/key.ts, or say in this test why it cannot be mistaken`
      )
    }
  }
)

/** Names of the platform that a file calls or takes from a module: `setTimeout`, `Date.now`. */
function usedIn (file: string, names: ReadonlySet<string>): string[] {
  const source = ts.createSourceFile(file, readFileSync(join(LIB, file), 'utf8'), ts.ScriptTarget.Latest, true)
  const found = new Set<string>()
  const visit = (node: ts.Node): void => {
    const text = ts.isPropertyAccessExpression(node) || ts.isImportSpecifier(node) || ts.isIdentifier(node)
      ? node.getText(source)
      : ''
    // A type names the platform's function and does not call it; a method of the same name is another one.
    const isOther = (): boolean => ts.isTypeQueryNode(node.parent) ||
      (ts.isPropertyAccessExpression(node.parent) && node.parent.name === node)
    if (names.has(text) && !isOther()) found.add(text)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return [...found]
}

/** Who may use the platform's timers, and why. */
const TIMERS: Record<string, string> = {
  'structures/timers.ts': 'the helper of the server',
  'client/timers.ts': 'the helper of the client',
  'stats/dashboard/page/clock.ts': 'the helper of the page',
  'client/reconnecting-link.ts': 'an abort signal of the option timeout, which it has bounded',
  'client/links/http.ts': 'an abort signal of that bounded timeout',
  'adapters/nats/state.ts': 'a pause of at most 20 ms between two tries',
  'gateway/commands/publish.ts': 'an abort signal of ten seconds'
}

t.test('every timer goes through the helper of its side, which knows what the platform can wait', async (t) => {
  const names = new Set([
    'setTimeout',
    'setInterval',
    'globalThis.setTimeout',
    'globalThis.setInterval',
    'AbortSignal.timeout',
    'setTimeout as delay'
  ])
  const users = files.filter((file) => usedIn(file, names).length > 0)
  t.same(users.filter((file) => !Object.hasOwn(TIMERS, file)), [], 'use after and every of timers.ts')
  t.ok(users.includes('structures/timers.ts') && users.includes('client/timers.ts'))
})

/** Who may ask for the time of day, and why. */
const TIME_OF_DAY: Record<string, string> = {
  'client/share-hub.ts': 'the timestamp of a value, where its own is not known',
  'adapters/contract/blinks.ts': 'the ends of denials, as a caller reckons them',
  'adapters/contract/clocks.ts': 'it is set to another time',
  'adapters/contract/denials.ts': 'the ends of denials, as a caller reckons them',
  'adapters/contract/events.ts': 'the timestamp of an event',
  'adapters/contract/host.ts': 'the timestamp of an event',
  'adapters/contract/latest.ts': 'timestamps of a node whose clock is wrong',
  'adapters/contract/texts.ts': 'the timestamp of a stretch',
  'adapters/contract/names.ts': 'the ends of denials, as a caller reckons them',
  'adapters/memory/adapter.ts': 'the age of events, which is known by their timestamps',
  'adapters/broker/decode.ts': 'versions that count from the time of day',
  'adapters/nats/clock.ts': 'how far it is from that of the broker',
  'adapters/redis/clock.ts': 'how far it is from that of the broker',
  'adapters/nats/versions.ts': 'where versions begin that other nodes read',
  'adapters/redis/stores.ts': 'how long a denial lasts whose end the caller reckons by this clock',
  'adapters/cluster/stores.ts': 'how long a denial lasts whose end the caller reckons by this clock',
  'adapters/cluster/space.ts': 'the ends of denials',
  'adapters/history/stream.ts': 'the age of events, which is known by their timestamps',
  'adapters/broker/tail.ts': 'the age of events, which is known by their timestamps',
  'app/app-rooms.ts': 'the end of a denial, which other nodes read',
  'app/requests.ts': 'the timestamp of a question',
  'app/spared.ts': 'the end of a denial, which other nodes have told',
  'auth/denials.ts': 'the ends of denials, which other nodes read',
  'auth/expiry.ts': 'exp',
  'auth/tickets.ts': 'the end of a ticket, which is told',
  'client/parts/tickets.ts': 'the expiry of the credential',
  'conformance/conversation.ts': 'the timestamp of an event',
  'structures/histogram.ts': 'the time of an exemplar',
  'connection/outbox.ts': 'the age of an event, by its timestamp',
  'connection/connection.ts': 'when it was opened, as it is shown',
  'connection/heartbeat.ts': 'the expiry of credentials',
  'app/reply-broadcast.ts': 'the timestamp of an event',
  'rooms/publications.ts': 'the timestamp of an event',
  'stats/actions.ts': 'the end of a denial, which other nodes read',
  'rooms/room-texts.ts': 'the timestamp of an event',
  'rooms/text-writer.ts': 'the timestamp of an event',
  'gateway/hooks/backend.ts': 'the timestamp of a signature'
}

t.test(
  'durations are measured by a clock that nobody sets; the time of day is for what is shown or read elsewhere',
  async (t) => {
    const users = files.filter((file) => usedIn(file, new Set(['Date.now'])).length > 0)
    t.same(users.filter((file) => !Object.hasOwn(TIME_OF_DAY, file)), [], 'measure by performance.now()')
    t.ok(users.includes('auth/expiry.ts'))
  }
)

t.test('a cast past the compiler has its reason above it', async (t) => {
  for (const file of files.filter((name) => !name.endsWith('/built.ts'))) {
    const lines = readFileSync(join(LIB, file), 'utf8').split('\n')
    const bare = lines.filter((line, index) => {
      if (/^\s*(\/\/|\/?\*)/.test(line) || !/ as (never|unknown as )/.test(line)) return false
      // Of several that stand together one reason is enough.
      return !lines.slice(Math.max(0, index - 4), index).some((above) => /^\s*(\/\/|\*)/.test(above) || above.includes('*/'))
    })
    t.same(bare, [], file)
  }
})

t.test('each folder and file of tests that the runner leaves out is run once, by a file of test/together', async (t) => {
  const { tap: { exclude } } = JSON.parse(readFileSync('package.json', 'utf8')) as { tap: { exclude: string[] } }
  const left = exclude.flatMap((glob) => {
    const [, above, names] = /^test\/(\S*?)\{(\S+)\}(?:\/\*)?\.test\.ts$/.exec(glob)!
    return names!.split(',').map((name) => `${above!}${name}`)
  })
  const run = readdirSync('test/together').flatMap((file) =>
    [...readFileSync(join('test/together', file), 'utf8').matchAll(/[( ]'([^'.]+)'/g)].map(([, name]) => name!))
  t.same(run.sort(), left.sort())
})
