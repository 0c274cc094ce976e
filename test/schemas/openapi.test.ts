import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import realtime from '../../lib/index.js'
import { matchList } from '../helpers/match-list.js'

interface Operation {
  readonly summary: string
  readonly tags?: readonly string[]
  readonly parameters?: ReadonlyArray<{ readonly name: string, readonly in: string }>
  readonly requestBody?: object
  readonly security?: ReadonlyArray<Record<string, unknown>>
}
type Paths = Record<string, Record<string, Operation>>

async function pathsOf (t: Test, schema?: object): Promise<Paths> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const securitySchemes = { mine: { type: 'http', scheme: 'bearer' } } as const
  await app.register(swagger, { openapi: { components: { securitySchemes } } })
  await app.register(realtime, { jwt: { secret: 'openapi' }, stats: { actions: true }, ...(schema === undefined ? {} : { route: { schema } }) })
  await app.ready()
  return JSON.parse(JSON.stringify(app.swagger().paths)) as Paths
}

function named ({ parameters = [] }: Operation, place: string): string[] {
  return parameters.filter((each) => each.in === place).map(({ name }) => name)
}

t.test('OpenAPI says of each route what it takes and what it answers', async (t) => {
  const paths = await pathsOf(t)
  t.same(Object.keys(paths), [
    '/ws', '/ws/{*}', '/ws/ticket', '/ws/stats/dashboard.js', '/ws/stats/dashboard.css', '/ws/stats/nodes',
    '/ws/stats/room', '/ws/stats/connections/{key}', '/ws/stats/actions', '/ws/stats', '/ws/stats/rooms',
    '/ws/stats/rooms/{*}', '/ws/stats/connections', '/ws/client.js', '/ws/health', '/ws/asyncapi.json'
  ])
  for (const [path, methods] of Object.entries(paths)) {
    for (const operation of Object.values(methods)) {
      t.match(operation.summary, /./, path)
      t.same(named(operation, 'path'), [...path.matchAll(/{(.+?)}/g)].map(([, name]) => name), path)
      t.equal(operation.security, undefined, 'a name that the app has not declared would let @fastify/swagger throw')
    }
  }
  t.strictSame(named(paths['/ws/{*}']!.get!, 'query'), [
    'room', 'transport', 'events', 'since', 'last', 'at', 'wait', 'connection', 'ticket', 'verdict'
  ])
  matchList(t, paths['/ws/{*}']!.post!.requestBody, {
    content: { 'application/json': { schema: { required: ['type'], properties: { id: { maxLength: 128 }, data: {} } } } }
  })
  t.same(named(paths['/ws/stats/connections']!.get!, 'query'), [
    'limit', 'after', 'sort', 'order', 'search', 'node', 'user', 'room', 'transport'
  ])
  t.same(named(paths['/ws/stats/rooms']!.get!, 'query'), ['limit', 'after', 'sort', 'order', 'search', 'node'])
  matchList(t, paths['/ws/stats/actions']!.post!.requestBody, {
    content: { 'application/json': { schema: { required: ['action'] } } }
  })
})

t.test('the app gives the routes tags and the name of its own security scheme', async (t) => {
  const paths = await pathsOf(t, { tags: ['live'], security: [{ mine: [] }] })
  matchList(t, paths['/ws']!.get, { tags: ['live'], security: [{ mine: [] }], summary: /Connects/ })
  matchList(t, paths['/ws/health']!.get, { tags: ['live'], security: undefined })
})

t.test('what does not fit the document is refused in the words of the plugin', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'openapi' } })
  await app.ready()
  const headers = { authorization: `Bearer ${app.jwt.sign({ sub: 'ada' }, { expiresIn: 60 })}` }
  const refused = { statusCode: 400, code: 'invalid_message', retry: 'never' }
  t.match((await app.inject({ method: 'POST', url: '/ws', headers, payload: { type: 7 } })).json(), refused)
  t.match((await app.inject({ url: '/ws?since=few', headers })).json(), refused)
})
