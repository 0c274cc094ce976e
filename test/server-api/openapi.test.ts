import { fileURLToPath } from 'node:url'
import swagger from '@fastify/swagger'
import { Type } from '@sinclair/typebox'
import createClient from 'openapi-fetch'
import openapiTS, { astToString } from 'openapi-typescript'
import t from 'tap'
import ts from 'typescript'
import { defineRoom } from '../../lib/index.js'
import { declareOrders, ROOT, startApi } from './api.js'
import { matchList } from '../helpers/match-list.js'

interface Operation {
  readonly requestBody?: { readonly content: Record<string, { readonly schema: object }> }
  readonly security?: object
}

interface Document {
  readonly openapi: string
  readonly servers: unknown
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { readonly schemas: Record<string, object>, readonly securitySchemes: object }
}

const tree = defineRoom('tree', {
  events: {
    grown: Type.Recursive((This) => Type.Object({ name: Type.String(), leaves: Type.Array(This) }), { $id: 'Tree' }),
    pair: Type.Object({ at: Type.Tuple([Type.Number(), Type.String()]) }),
    text: { data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'append', key: 'id', append: 'text' }
  }
})

t.test('each declared event that can be published is a schema of its own, told apart by its name', async (t) => {
  const { app, url } = await startApi(t)
  const document = (await app.inject({ url: '/ws/api/openapi.json', headers: { host: new URL(url).host } })).json<Document>()
  matchList(t, document, {
    openapi: '3.1.0',
    servers: [{ url: `${url}/ws/api` }],
    security: [{ realtimeApiKey: [] }],
    components: { securitySchemes: { realtimeApiKey: { type: 'http', scheme: 'bearer' } } }
  })
  t.same(Object.keys(document.paths), [
    '/publish', '/join', '/leave', '/revoke', '/close', '/clear', '/connections', '/rooms/{room}', '/rooms/{room}/history', '/rooms/{room}/state', '/users/{user}'
  ])
  const { schemas } = document.components
  t.match(schemas.Publication, {
    discriminator: {
      propertyName: 'event',
      mapping: {
        created: '#/components/schemas/CreatedEvent',
        note: '#/components/schemas/OrdersIdNoteEvent',
        price: '#/components/schemas/OrdersIdPriceEvent',
        tick: '#/components/schemas/BareIdTickEvent'
      }
    }
  })
  matchList(t, schemas.CreatedEvent, {
    properties: {
      room: { anyOf: [{ pattern: '^orders/[^/]+$' }, { enum: ['lobby'] }] },
      data: { anyOf: [{ $ref: '#/components/schemas/OrdersIdCreatedData' }, { $ref: /LobbyCreatedData$/ }] }
    }
  })
  matchList(t, schemas.OrdersIdPriceEvent, {
    properties: {
      room: { pattern: '^orders/[^/]+$' },
      event: { enum: ['price'] },
      data: { properties: { euro: { type: 'number' } } }
    },
    required: ['room', 'event', 'data']
  })
})

t.test('@fastify/swagger shows the events in the document of the app', async (t) => {
  const { app } = await startApi(t, {}, {
    before: async (fastify) => { await fastify.register(swagger, { openapi: { openapi: '3.1.0' } }) },
    declare: (fastify) => {
      declareOrders(fastify)
      fastify.room(tree)
    }
  })
  const document = JSON.parse(JSON.stringify(app.swagger())) as Document
  const { schema } = document.paths['/ws/api/publish']!.post!.requestBody!.content['application/json']!
  matchList(t, schema, { oneOf: [{ $ref: '#/components/schemas/Publication' }, { type: 'array', maxItems: 1_000 }] })
  matchList(t, document.components, {
    securitySchemes: { realtimeApiKey: { scheme: 'bearer' } },
    schemas: {
      Publication: { discriminator: { propertyName: 'event' } },
      TreeGrownEvent: { properties: { data: { $ref: '#/components/schemas/Tree' } } },
      TreePairEvent: { properties: { data: { properties: { at: { prefixItems: [{ type: 'number' }, {}] } } } } }
    }
  })
  t.notOk('TreeTextEvent' in document.components.schemas, 'a text is written, not published')
  t.same(document.paths['/ws/api/rooms/{*}']!.get!.security, [{ realtimeApiKey: [] }])
  t.equal(document.paths['/ws/api/openapi.json']!.get!.security, undefined)
})

/** Compiles programs that import what was generated as `./generated.js`, all at once. @returns of each what is wrong */
function faultsOf (sources: Readonly<Record<'generated' | 'right' | 'wrong', string>>): Record<string, string[]> {
  const at = (name: string): string => fileURLToPath(new URL(`${name}.ts`, import.meta.url))
  const files = Object.fromEntries(Object.entries(sources).map(([name, text]) => [at(name), text]))
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    lib: ['lib.es2023.d.ts', 'lib.dom.d.ts'],
    types: []
  }
  const host = ts.createCompilerHost(options)
  const { readFile, fileExists, getSourceFile } = host
  host.readFile = (name) => files[name] ?? readFile(name)
  host.fileExists = (name) => name in files || fileExists(name)
  host.getSourceFile = (name, ...rest) => files[name] === undefined
    ? getSourceFile(name, ...rest)
    : ts.createSourceFile(name, files[name], ts.ScriptTarget.ES2022, true)
  const faults: Record<string, string[]> = { generated: [], right: [], wrong: [] }
  const program = ts.createProgram(Object.keys(files), options, host)
  for (const { file, start, messageText } of ts.getPreEmitDiagnostics(program)) {
    const { line } = file!.getLineAndCharacterOfPosition(start!)
    const name = Object.keys(faults).find((each) => at(each) === file!.fileName)!
    faults[name]!.push(`${file!.text.split('\n')[line]!.trim()}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`)
  }
  return faults
}

t.test('a client that openapi-typescript generates is typed by the contract, and publishes', async (t) => {
  const { url, app } = await startApi(t, {}, {
    declare: (fastify) => {
      declareOrders(fastify)
      fastify.room(tree)
    }
  })
  const generated = astToString(await openapiTS(new URL(`${url}/ws/api/openapi.json`)))
  const head = `
    import createClient from 'openapi-fetch'
    import type { paths } from './generated.js'
    const { POST, GET } = createClient<paths>({ baseUrl: '' })
`
  const right = `${head}
    const { data, error } = await POST('/publish', {
      params: { header: { 'idempotency-key': 'one' } },
      body: [
        { room: 'orders/1', event: 'note', data: { text: 'a' } },
        { room: 'orders/1', event: 'price', data: { item: 'tea', euro: 3 }, idempotencyKey: 'tea' },
        { room: 'tree', event: 'grown', data: { name: 'a', leaves: [{ name: 'b', leaves: [] }] } },
        { room: 'tree', event: 'pair', data: { at: [1, 'a'] } }
      ]
    })
    if (error !== undefined) throw new Error(error.code)
    for (const result of data.results) {
      if ('error' in result) throw new Error(result.error.message)
      const recipients: number = result.recipients
    }
    const { data: room } = await GET('/rooms/{room}', { params: { path: { room: 'orders/1' } } })
    const count: number | undefined = room?.count
    await POST('/publish', { body: { room: 'orders/1', event: 'note', data: { text: 'a' }, except: ['id', { user: 'ada' }] } })
    await POST('/publish', { body: { room: 'orders/1', event: 'note', data: { text: 'a' }, except: { room: 'orders/2' } } })
    await POST('/join', { body: { of: 'orders/1', room: 'orders/2' } })
    await POST('/close', { body: { room: 'orders/1', code: 'draining' } })
    await POST('/clear', { body: { room: 'orders/1' } })
    const { data: taken } = await POST('/revoke', { body: { user: 'ada', room: 'orders/1' } })
    const left: number | undefined = taken?.left
    const { data: page } = await GET('/connections', { params: { query: { room: 'orders/1', limit: 10 } } })
    const ids: string[] | undefined = page?.connections.map(({ id }) => id)
  `
  const wrong = `${head}
    await POST('/publish', { body: { room: 'orders/1', event: 'note', data: { text: 1 } } })
    await POST('/publish', { body: { room: 'orders/1', event: 'nothing', data: { text: 'a' } } })
    await POST('/publish', { body: { event: 'note', data: { text: 'b' } } })
    await POST('/publish', { body: [{ room: 'tree', event: 'grown', data: { name: 'a', leaves: [{ name: 1 }] } }] })
    await POST('/publish', { body: [{ room: 'tree', event: 'text', data: { id: 'c', text: 'd' } }] })
    await POST('/publish', { body: { room: 'orders/1', event: 'note', data: { text: 'e' }, except: [5] } })
    await POST('/clear', { body: { user: 'ada' } })
    await POST('/revoked', { body: { user: 'ada' } })
  `
  const faults = faultsOf({ generated, right, wrong })
  t.same([faults.generated, faults.right], [[], []])
  const lines = wrong.split('\n').map((line) => line.trim()).filter((line) => line.startsWith('await '))
  t.same(lines.filter((line) => !faults.wrong!.some((fault) => fault.startsWith(line))), [], faults.wrong!.join('\n'))
  const client = createClient<Record<string, never>>({
    baseUrl: `${url}/ws/api`,
    headers: { authorization: `Bearer ${ROOT}`, connection: 'close' }
  })
  const { data } = await client.POST('/publish' as never, { body: { room: 'tree', event: 'pair', data: { at: [1, 'a'] } } } as never)
  matchList(t, data, { results: [{ position: { offset: 1 } }] })
  matchList(t, (await app.rooms.history('tree')).events, [{ data: { at: [1, 'a'] } }])
})
