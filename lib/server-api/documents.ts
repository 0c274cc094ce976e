import type { FastifySchema } from 'fastify'
import { array, boolean, integer, number, object, oneOf, optional, record, string } from '../contract/build.js'
import { dataOf, isSpec } from '../contract/family.js'
import { documented, REFUSED } from '../options/route-schemas.js'
import { MAX_LEFT_OUT } from '../protocol/except.js'
import { keys, ofDraft2020, PublishedSchemas, titleOf } from '../protocol/published-schemas.js'
import type { Declaration } from '../rooms/declaration.js'
import { VERSION } from '../version.js'
import { MAX_ITEMS } from './items.js'
import { MAX_HEADER, MAX_KEY } from './publishing.js'

/** What the documents are made of. */
export interface ApiDocument {
  readonly rooms: readonly Declaration[]
  /** Where the URLs of the server API begin. */
  readonly prefix: string
}

interface Ref { readonly $ref: string }
interface RouteDocument extends FastifySchema { readonly summary: string, readonly isPublic?: boolean }

/** Name of the security scheme in the documents. */
const SCHEME = 'realtimeApiKey'
const SCHEMES = {
  [SCHEME]: { type: 'http', scheme: 'bearer', description: 'a key of the option `api.keys`; a token of a user is none' }
}

const POSITION = object({ epoch: string(), offset: integer({ minimum: 0 }) }, { title: 'Position' })
const ERROR = object({
  code: string(),
  message: string(),
  retry: oneOf('now', 'backoff', 'refresh', 'never'),
  retryAfter: optional(integer({ description: 'milliseconds' })),
  room: optional(string()),
  details: optional(array(object({ path: string(), message: string() }))),
  outcome: optional(oneOf('unknown')),
  idempotencyKey: optional(string({ description: 'ask again with it, where the outcome is unknown' }))
}, { title: 'PublishError' })
const RESULTS = object({
  results: array({
    title: 'PublishResult',
    anyOf: [
      object({
        position: optional(POSITION),
        recipients: integer({ description: 'members on the node that answers' })
      }, { title: 'Published' }),
      object({ error: ERROR }, { title: 'NotPublished' })
    ]
  }, { description: 'in the order of the events' })
}, { title: 'PublishResults', description: 'What became of each event' })

const ROOM = object({ '*': string({ description: 'the name of the room, each param encoded' }) })
const USER = { user: optional(string()), connection: optional(string()) }
const MOVED = object({
  ...USER,
  of: optional(string({ description: 'the room whose members are meant' })),
  room: string()
}, {
  additionalProperties: false,
  description: 'a user or a connection by id, or the members of a room'
})
const CLOSED = { ...object({ closed: integer() }), description: 'How many of this node' }
const CONNECTION = object({
  id: string({ description: 'a secret of its own client' }),
  user: string(),
  node: string(),
  transport: oneOf('websocket', 'sse', 'polling'),
  address: string(),
  since: integer({ description: 'Unix milliseconds' }),
  latency: optional(number({ description: 'milliseconds' })),
  lag: integer({ description: 'bytes that wait to be written to it' }),
  bytesIn: integer(),
  bytesOut: integer(),
  rooms: array(string(), { description: 'of those that the key is for' }),
  roomCount: integer({ description: 'all rooms that it is in' })
}, { title: 'Connection' })
const LEFT_OUT = {
  title: 'LeftOut',
  description: 'One who is left out: the id of a connection, a user, or the members of a room',
  anyOf: [
    string(),
    ...['connection', 'user', 'room'].map((name) => object({ [name]: string() }, { additionalProperties: false }))
  ]
}

/** What each route takes and answers; the body of `publish` is of the rooms. */
const ROUTES = {
  publish: {
    summary: 'Publishes one event, or a list of them',
    headers: object({
      'idempotency-key': optional(string({ maxLength: MAX_HEADER, description: 'the same request adds no event twice' }))
    }),
    response: { 200: RESULTS, ...REFUSED }
  },
  join: {
    summary: 'Puts connections into a room',
    body: MOVED,
    response: { 200: { ...object({ joined: integer() }), description: 'How many of this node' }, ...REFUSED }
  },
  leave: {
    summary: 'Takes connections out of a room',
    body: MOVED,
    response: { 200: { ...object({ left: integer() }), description: 'How many of this node' }, ...REFUSED }
  },
  revoke: {
    summary: 'Closes connections for good, and keeps a user or token out',
    body: object({
      ...USER,
      tokenId: optional(string({ description: 'the jti of a token' })),
      room: optional(string({ description: 'all members of it; with a user, only this room of the user' })),
      message: optional(string()),
      until: optional(integer({ description: 'Unix milliseconds' }))
    }, { additionalProperties: false }),
    response: {
      200: {
        ...object({ closed: optional(integer()), left: optional(integer()) }),
        description: 'How many of this node were closed, or have left the one room'
      },
      ...REFUSED
    }
  },
  close: {
    summary: 'Closes connections whose clients may come back',
    body: object({
      ...USER,
      room: optional(string({ description: 'all members of it' })),
      code: optional(string({ description: 'a code after which clients come back; unavailable unless given' })),
      message: optional(string())
    }, { additionalProperties: false }),
    response: { 200: CLOSED, ...REFUSED }
  },
  clear: {
    summary: 'Takes away what is kept of a room',
    body: object({ room: string() }, { additionalProperties: false }),
    response: { 200: { ...object({}), description: 'Nothing of it is kept' }, ...REFUSED }
  },
  connections: {
    summary: 'Lists open connections of all nodes, page by page',
    querystring: object({
      user: optional(string({ description: 'those of this user' })),
      room: optional(string({ description: 'those in this room' })),
      limit: optional(integer({ description: 'connections of a page, 1 to 1 000; 100 unless given' })),
      cursor: optional(string({ description: 'the cursor of the page before' }))
    }),
    response: {
      200: {
        ...object({
          connections: array(CONNECTION),
          cursor: optional(string({ description: 'of the next page; absent on the last one' })),
          total: integer(),
          incomplete: boolean(),
          missing: array(string(), { description: 'nodes that have not answered' })
        }, { title: 'Connections' }),
        description: 'A page of connections'
      },
      ...REFUSED
    }
  },
  room: {
    summary: 'Tells who is in a room, and its position; below it /history and /state',
    params: ROOM,
    querystring: object({
      since: optional(string({ description: 'of the history: <epoch>:<offset>' })),
      limit: optional(integer({ description: 'events of a page of the history' }))
    }),
    response: {
      200: {
        ...object({
          count: optional(integer()),
          members: optional(array(object({ userId: string(), data: optional({}) }))),
          position: optional(POSITION),
          resumed: optional(boolean()),
          more: optional(boolean()),
          events: optional(array(object({ type: string(), data: {}, offset: integer(), timestamp: integer() })))
        }, { title: 'RoomAnswer' }),
        description: 'The room, or a page of its history; its state is an object of events with objects of keys'
      },
      ...REFUSED
    }
  },
  user: {
    summary: 'Tells whether a user is online',
    params: object({ '*': string({ description: 'the id of the user, encoded' }) }),
    response: {
      200: { ...object({ online: boolean(), connections: integer() }), description: 'On all nodes' },
      ...REFUSED
    }
  },
  openApi: {
    summary: 'The OpenAPI 3.1 document of the server API, with each declared event',
    isPublic: true,
    response: { 200: { type: 'object', description: 'OpenAPI 3.1' } }
  }
} as const satisfies Readonly<Record<string, RouteDocument>>

/** What @fastify/swagger gives to the transformation of a route. */
interface Transformed {
  readonly schema: object
  readonly url: string
  readonly openapiObject?: { components?: { schemas?: object, securitySchemes?: object } }
}

interface RouteOptions { readonly schema: FastifySchema, readonly config: object }

/**
 * Route options that show what each route takes and answers. The rooms are declared after the routes, so that
 * @fastify/swagger is told of their events when it makes its document.
 *
 * @param app what the app's `route.schema` says
 */
export function apiRoutes (
  document: () => ApiDocument,
  app: FastifySchema
): Readonly<Record<keyof typeof ROUTES, RouteOptions>> {
  // The scheme of the app's users is none of these routes.
  const { security: _security, ...schema } = app as FastifySchema & { security?: unknown }
  const named = Object.entries(ROUTES).map(([name, route]) => {
    const isPublic = 'isPublic' in route
    const swaggerTransform = ({ schema: own, url, openapiObject }: Transformed): object => {
      if (isPublic || openapiObject === undefined) return { schema: own, url }
      const { components = {} } = openapiObject
      components.securitySchemes = { ...components.securitySchemes, ...SCHEMES }
      openapiObject.components = components
      const security = [{ [SCHEME]: [] }]
      if (name !== 'publish') return { schema: { ...own, security }, url }
      const body = bodyOf(document(), (schemas) => { components.schemas = { ...components.schemas, ...schemas } })
      return { schema: { ...own, body, security }, url }
    }
    return [name, { ...documented(route, schema), config: { swaggerTransform } }]
  })
  return Object.fromEntries(named) as Record<keyof typeof ROUTES, RouteOptions>
}

/** An event of one definition. */
interface DeclaredEvent {
  readonly name: string
  readonly pattern: Declaration['pattern']
  readonly data: object
}

/** Makes the schema of what is published, and gives the schemas that it refers to. */
function bodyOf ({ rooms }: ApiDocument, components: (schemas: object) => void): object {
  const schemas = new PublishedSchemas(ofDraft2020)
  const title = keys()
  const byEvent = new Map<string, DeclaredEvent[]>()
  for (const { pattern, contract } of rooms) {
    for (const [event, spec] of Object.entries(contract.events ?? {})) {
      const { delivery, owner } = (isSpec(spec) ? spec : {}) as { delivery?: string, owner?: boolean }
      // Texts have writers of this process; a value with an owner is caused by a member.
      if (delivery === 'append' || owner === true) continue
      const name = title(titleOf(pattern.source, event))
      const data = schemas.publish(dataOf(spec), `${name}Data`, 'input') as object
      byEvent.set(event, [...byEvent.get(event) ?? [], { name, pattern, data }])
    }
  }
  const one = schemas.add('LeftOut', LEFT_OUT)
  const except = schemas.add('Except', { title: 'Except', anyOf: [one, array(one, { maxItems: MAX_LEFT_OUT })] })
  const mapping = new Map([...byEvent].map(([event, all]): [string, Ref] => {
    const [first, ...others] = all
    const name = `${others.length === 0 ? first!.name : titleOf(event)}Event`
    // A discriminator has one schema for each value, so that events of one name in several rooms have one together.
    const room = others.length === 0 ? roomOf(first!.pattern) : { anyOf: all.map(({ pattern }) => roomOf(pattern)) }
    const data = others.length === 0
      ? first!.data
      : { anyOf: all.map((each) => schemas.add(`${each.name}Data`, each.data as Record<string, unknown>)) }
    return [event, schemas.add(name, {
      title: name,
      description: `"${event}" of the rooms ${all.map(({ pattern }) => pattern.source).join(', ')}`,
      ...object({
        room,
        event: oneOf(event),
        data,
        except: optional(except),
        idempotencyKey: optional(string({
          minLength: 1,
          maxLength: MAX_KEY,
          description: 'within two minutes a second event with the same key in the room is not added'
        }))
      }, { additionalProperties: false })
    })]
  }))
  const publication = schemas.add('Publication', {
    title: 'Publication',
    description: 'One event of a room',
    ...(mapping.size === 0
      ? { type: 'object' }
      : {
          oneOf: [...mapping.values()],
          discriminator: {
            propertyName: 'event',
            mapping: Object.fromEntries([...mapping].map(([event, { $ref }]) => [event, $ref]))
          }
        })
  })
  components(schemas.components)
  return {
    title: 'Publications',
    oneOf: [publication, { type: 'array', items: publication, minItems: 1, maxItems: MAX_ITEMS }]
  }
}

function roomOf ({ source, segments, params }: Declaration['pattern']): object {
  if (params.length === 0) return oneOf(source)
  const segment = ({ param, value }: { param: boolean, value: string }): string =>
    param ? '[^/]+' : value.replace(/[.+]/g, '\\$&')
  return string({
    maxLength: 255,
    pattern: `^${segments.map(segment).join('/')}$`,
    description: `a room of ${source}; each param as encodeURIComponent writes it`
  })
}

/** OpenAPI 3.1 of the server API without its servers, in which each declared event has a schema of its own. */
export function openApi (document: ApiDocument): object {
  let components: object = {}
  const { publish, join, leave, revoke, close, clear, connections, room, user } = ROUTES
  const body = bodyOf(document, (schemas) => { components = schemas })
  return {
    openapi: '3.1.0',
    info: { title: 'Server API of the real-time rooms', version: VERSION },
    security: [{ [SCHEME]: [] }],
    paths: {
      '/publish': { post: operation('publish', { ...publish, body }) },
      '/join': { post: operation('join', join) },
      '/leave': { post: operation('leave', leave) },
      '/revoke': { post: operation('revoke', revoke) },
      '/close': { post: operation('close', close) },
      '/clear': { post: operation('clear', clear) },
      '/connections': { get: operation('connections', connections) },
      '/rooms/{room}': { get: operation('room', { ...room, querystring: undefined }, 'room') },
      '/rooms/{room}/history': { get: operation('history', room, 'room') },
      '/rooms/{room}/state': {
        get: operation('state', { ...room, querystring: undefined, response: { 200: STATE, ...REFUSED } }, 'room')
      },
      '/users/{user}': { get: operation('user', user, 'user') }
    },
    components: { schemas: components, securitySchemes: SCHEMES }
  }
}

const STATE = { ...record(record({})), title: 'RoomState', description: 'By event, by key the newest value' }

interface Shaped { readonly properties: Readonly<Record<string, object>>, readonly required: readonly string[] }

/** One operation, from what its route says. */
function operation (operationId: string, route: RouteDocument, path?: string): object {
  const { summary, body, response, querystring, headers } = route
  const described = response as Readonly<Record<string, { description?: string }>>
  return {
    operationId,
    summary,
    parameters: [
      ...(path === undefined
        ? []
        : [{ name: path, in: 'path', required: true, schema: { type: 'string' } }]),
      ...parameters(querystring, 'query'),
      ...parameters(headers, 'header')
    ],
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: Object.fromEntries(Object.entries(described).map(([status, { description = '', ...schema }]) => [
      status.toUpperCase(),
      { description, content: { 'application/json': { schema } } }
    ]))
  }
}

function parameters (schema: unknown, place: 'query' | 'header'): object[] {
  if (schema === undefined) return []
  const { properties, required } = schema as Shaped
  return Object.entries(properties).map(([name, own]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema: own
  }))
}
