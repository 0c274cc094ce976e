import type { FastifySchema } from 'fastify'
import { array, boolean, integer, number, object, oneOf, optional, record, string } from '../contract/build.js'

/** What the documentation of a route says. */
interface RouteDocument extends FastifySchema {
  readonly summary: string
  /** Whether anybody may use it. */
  readonly isPublic?: boolean
}

const REFUSAL = {
  description: 'A refusal',
  ...object({
    statusCode: integer(),
    error: string(),
    code: string(),
    message: string(),
    retry: oneOf('now', 'backoff', 'refresh', 'never'),
    retryAfter: optional(integer()),
    room: optional(string()),
    details: optional(array(object({ path: string(), message: string() })))
  })
}
/** The refusals of each route. */
export const REFUSED = { '4xx': REFUSAL, '5xx': REFUSAL }
const FRAME = object({ type: string() }, { description: 'a frame of the protocol: GET /asyncapi.json describes them' })
const ROOM = object({ '*': string({ description: 'the name of the room, each param encoded' }) })
const SORTED = {
  limit: optional(string({ description: 'items of a page, at most 1 000' })),
  after: optional(string({ description: 'the `next` of the page before' })),
  sort: optional(string({ description: 'what to sort by; with any of these words the list is of all nodes' })),
  order: optional(oneOf('asc', 'desc')),
  search: optional(string({ description: 'part of a name' })),
  node: optional(string({ description: 'one node alone' }))
}
const OPEN = object({
  room: optional(array(string(), { description: 'rooms to join, besides that of the path' })),
  transport: optional(oneOf('sse', 'polling')),
  events: optional(oneOf('named', 'unnamed')),
  since: optional(string({ description: 'the cursor to go on from' })),
  last: optional(string({ description: 'events to replay at the first join' })),
  at: optional(array(string(), { description: 'a position to go on from: <index of the room>:<epoch>:<offset>' })),
  wait: optional(string({ description: 'milliseconds that a poll may wait' })),
  connection: optional(string({ description: 'the connection that is followed' })),
  ticket: optional(string({ description: 'a ticket, in place of another credential' })),
  verdict: optional(oneOf('1'))
})
const ANSWER = object({
  connectionId: string(),
  cursor: string(),
  resumed: boolean(),
  rooms: record({}),
  frames: array(FRAME)
}, { description: 'the answer of a poll; a stream has the content type text/event-stream' })
const LISTING = object({ total: integer(), items: array({ type: 'object' }), next: optional(string()) })

const open: RouteDocument = {
  summary: 'Connects: a WebSocket by upgrade, a stream by Accept: text/event-stream, else a poll',
  querystring: OPEN,
  response: { 200: ANSWER, ...REFUSED }
}
const send: RouteDocument = {
  summary: 'Sends one frame, such as a message, and answers with its ack',
  body: object({
    type: string({ description: 'the name of a message of the room, or of a command' }),
    room: optional(string({ description: 'needed where the path names none' })),
    id: optional(string({ maxLength: 128, description: 'sent again with the same id, it takes effect once' })),
    data: optional({})
  }),
  response: { 200: FRAME, ...REFUSED }
}

/** What a node says of itself; its checks and a reason where it was asked for more. */
const HEALTH = {
  status: string(),
  accepting: boolean(),
  checks: optional(object({ adapter: oneOf('ok', 'away'), loopDelay: oneOf('ok', 'late'), capacity: oneOf('ok', 'full') })),
  reason: optional(string())
}

/** What each route of the plugin takes and answers, for the app's OpenAPI document. */
export const ROUTES = {
  open,
  openRoom: { ...open, params: ROOM },
  send,
  sendToRoom: { ...send, params: ROOM },
  ticket: {
    summary: 'Gives a ticket that opens one connection without another credential',
    response: {
      200: object({ ticket: string(), expires: number({ description: 'Unix milliseconds' }) }, { description: 'A ticket' }),
      ...REFUSED
    }
  },
  health: {
    summary: 'Tells whether this node accepts connections',
    isPublic: true,
    querystring: object({ deep: optional(oneOf('1')) }),
    response: {
      200: object(HEALTH, { description: 'It does' }),
      503: object(HEALTH, { description: 'It does not, or is over a limit' })
    }
  },
  client: {
    summary: 'The client library as one ES module, for pages without a bundler',
    isPublic: true,
    querystring: object({ v: optional(string({ description: 'the version of the package: then it is kept for ever' })) }),
    response: { 200: { type: 'string', description: 'JavaScript' } }
  },
  asyncApi: {
    summary: 'The AsyncAPI 3 document of all rooms',
    isPublic: true,
    response: { 200: { type: 'object', description: 'AsyncAPI 3.0' } }
  },
  statsAsset: {
    summary: 'The code or the style of the page for admins; they hold no data',
    isPublic: true,
    response: { 200: { type: 'string', description: 'A script or a style sheet' } }
  },
  statsNodes: {
    summary: 'Figures of all nodes, and who asks',
    response: {
      200: object({
        here: string({ description: 'the node that answers' }),
        viewer: object({ mayAct: boolean(), maySeeData: boolean() }),
        items: array(object({
          node: string(),
          isAnswering: boolean(),
          silence: optional(integer({ description: 'milliseconds since its last answer' })),
          stats: optional({ type: 'object' })
        }))
      }, { description: 'The nodes' }),
      ...REFUSED
    }
  },
  statsDetail: {
    summary: 'One room on all nodes, with its last events',
    querystring: object({
      name: string({ description: 'the room, each param encoded' }),
      events: optional(string({ description: 'last events, at most 100' })),
      data: optional(oneOf('true', 'false'))
    }),
    response: { 200: { type: 'object', description: 'The room' }, ...REFUSED }
  },
  statsConnection: {
    summary: 'One connection of any node',
    params: object({ key: string({ description: 'its key in a sorted list' }) }),
    response: { 200: { type: 'object', description: 'The connection' }, ...REFUSED }
  },
  statsActions: {
    summary: 'Ends a connection, keeps a user out, or drains a node',
    body: object({
      action: oneOf('disconnect', 'revoke', 'drain'),
      connection: optional(string({ description: 'the key of the connection that is ended' })),
      user: optional(string({ description: 'the user who is kept out' })),
      duration: optional(integer({ description: 'milliseconds for which the user is kept out' })),
      node: optional(string({ description: 'the node that is drained' }))
    }),
    response: { 200: { ...object({ done: boolean() }), description: 'It is done' }, ...REFUSED }
  },
  stats: {
    summary: 'Figures of this node: JSON, Prometheus text, or a page for browsers',
    querystring: object({ format: optional(oneOf('json', 'prometheus', 'html')) }),
    response: { 200: { type: 'object', description: 'The figures' }, ...REFUSED }
  },
  statsRooms: {
    summary: 'Lists rooms: of this node in no order, or of all nodes in one',
    querystring: object(SORTED),
    response: { 200: { ...LISTING, description: 'One page' }, ...REFUSED }
  },
  statsConnections: {
    summary: 'Lists connections: of this node in no order, or of all nodes in one',
    querystring: object({
      ...SORTED,
      user: optional(string()),
      room: optional(string()),
      transport: optional(oneOf('websocket', 'sse', 'polling'))
    }),
    response: { 200: { ...LISTING, description: 'One page' }, ...REFUSED }
  },
  statsRoom: {
    summary: 'One room of this node',
    params: ROOM,
    response: { 200: { type: 'object', description: 'The room' }, ...REFUSED }
  }
} as const satisfies Readonly<Record<string, RouteDocument>>

/**
 * Route options that show what a route takes and answers, and check nothing of it: the plugin reads its requests
 * itself, and refuses them in words of its own.
 *
 * @param app what the app's `route.schema` says, which goes first
 */
export function documented (
  { isPublic = false, ...own }: RouteDocument,
  { security, ...app }: FastifySchema & { security?: unknown }
): object {
  // A name that the app has not declared would let @fastify/swagger throw, so only names of the app are given.
  return { schema: { ...own, ...app, ...(isPublic || security === undefined ? {} : { security }) }, ...UNCHECKED }
}

const UNCHECKED = { validatorCompiler: () => () => true, serializerCompiler: () => JSON.stringify }
