import { Type, type Static, type TProperties, type TSchema } from '@sinclair/typebox'

/** Everything here is published as `realtime.schema.json`, so that editors show it: `description` is for people. */

const LONGEST = 2_147_483_647

function closed<T extends TProperties> (properties: T, description?: string) {
  return Type.Object(properties, { additionalProperties: false, ...(description === undefined ? {} : { description }) })
}

function ms (description: string, minimum = 1) {
  return Type.Optional(Type.Integer({ minimum, maximum: LONGEST, description }))
}

function count (description: string, maximum?: number) {
  return Type.Optional(Type.Integer({ minimum: 1, ...(maximum === undefined ? {} : { maximum }), description }))
}

function words<const W extends readonly string[]> (...all: W) {
  return Type.Union(all.map((word) => Type.Literal(word as W[number])))
}

/** A text, or where it is found. */
const Given = Type.Union([
  Type.String({ minLength: 1 }),
  closed({ env: Type.String({ minLength: 1, description: 'The environment variable that holds it.' }) }),
  closed({ file: Type.String({ minLength: 1, description: 'The file that holds it, beside this one.' }) })
])

function given (description: string) { return Type.Unsafe<Static<typeof Given>>({ ...Given, description }) }

const Schema = Type.Unknown({ description: 'A JSON Schema; in a module also one of TypeBox or a Standard Schema.' })
const Rate = closed({
  messages: Type.Number({ exclusiveMinimum: 0, description: 'Messages per second.' }),
  burst: Type.Integer({ minimum: 1, description: 'Messages that may come at once, after a silence.' })
})

const HOOKS = ['authorize', 'join', 'leave', 'message', 'online', 'offline'] as const

const Hooks = closed({
  url: Type.String({ minLength: 1, description: 'Where the backend is asked, by POST.', examples: ['https://app.example.com/realtime'] }),
  secret: Type.Union([given('whsec_ and base64 of at least 24 bytes.'), Type.Array(Given, { minItems: 1, maxItems: 4 })], {
    description: 'Signs each request. While it is changed, a list of the new one and the old one.'
  }),
  on: Type.Optional(Type.Array(words(...HOOKS), {
    minItems: 1,
    description: 'What the backend is asked and told of. Default: everything.'
  })),
  timeout: ms('Milliseconds for one answer of the backend, retries included. Default 5000.'),
  retries: Type.Optional(Type.Integer({ minimum: 0, maximum: 10, description: 'Further tries within the timeout. Default 2.' })),
  concurrency: count('Requests to the backend at once. Default 64.', 10_000),
  perUser: count('Of these, requests of one user. Default an eighth of concurrency.', 10_000),
  queue: count('Joins, leaves and users online that wait for the backend. Default 10000.', 1_000_000)
}, 'A backend that decides, answers messages and is told who comes and goes.')

const History = Type.Union([
  Type.Literal(false),
  closed({ size: count('Events of one room. Default 100.'), ttl: ms('Milliseconds for which an event is kept. Default 300000.') })
], { description: 'Events that are kept for those who come back; false keeps none.' })

const Message = closed({
  data: Schema,
  reply: Type.Optional(Schema),
  concurrent: Type.Optional(Type.Boolean({ description: 'Whether it waits for no other message of its connection.' })),
  broadcast: Type.Optional(Type.Union([
    Type.String({ minLength: 1 }),
    closed({
      event: Type.String({ minLength: 1 }),
      user: Type.Optional(Type.String({ minLength: 1, description: 'The property of the event that gets the id of the sender.' }))
    })
  ], { description: 'The event as which the data goes to the room. Without it the backend is asked (hooks).' }))
})

const Event = closed({
  data: Schema,
  delivery: Type.Optional(words('reliable', 'latest', 'volatile', 'append')),
  key: Type.Optional(Type.String({ minLength: 1 })),
  append: Type.Optional(Type.String({ minLength: 1 })),
  owner: Type.Optional(Type.Boolean())
})

const Room = closed({
  params: Type.Optional(Schema),
  messages: Type.Optional(Type.Record(Type.String(), Message, { description: 'What clients may send, by name.' })),
  events: Type.Optional(Type.Record(Type.String(), Event, { description: 'What the server may send, by name.' })),
  member: Type.Optional(Schema),
  presence: Type.Optional(Type.Union([
    Type.Boolean(),
    closed({
      claims: Type.Array(Type.String(), { description: 'Claims of the token that others see of a member.' }),
      update: Type.Optional(Type.Boolean({ description: 'Whether a member may change that.' }))
    })
  ], { description: 'Whether members are shown, and what of them.' })),
  authorize: Type.Optional(closed({
    claim: Type.String({ minLength: 1, description: 'A claim of the token with the names of rooms that its user may enter; one may end with *.' })
  }, 'Who may enter. Without it the backend is asked (hooks), or everybody may who has a valid token.')),
  hooks: Type.Optional(Type.Union([Type.Literal(false), Hooks], {
    description: 'The backend of these rooms; false for none. Default: that of all rooms.'
  })),
  capacity: count('Connections in one room. Default: no limit.'),
  history: Type.Optional(History),
  limits: Type.Optional(closed({ message: count('Bytes of a message.'), rate: Type.Optional(Rate) })),
  flush: Type.Optional(Type.Integer({ minimum: 0, maximum: 60_000, description: 'Milliseconds that events may wait for others.' })),
  append: Type.Optional(closed({ size: count('Bytes of one text.', 16_777_216), ttl: ms('Milliseconds for which a text is kept.') }))
})

const common = {
  prefix: Type.Optional(Type.String({ minLength: 1, description: 'Names everything that is kept at the broker.' })),
  timeout: ms('Milliseconds that one command may take. Default 2000.')
}

const Adapter = Type.Union([
  closed({ type: Type.Literal('memory') }),
  closed({ type: Type.Literal('redis'), url: Type.Optional(given('Default redis://127.0.0.1:6379.')), ...common }),
  closed({
    type: Type.Literal('nats'),
    url: Type.Optional(given('Default nats://127.0.0.1:4222.')),
    jetstream: Type.Optional(Type.Boolean()),
    replicas: count('Copies of streams in a cluster. Default 1.', 5),
    storage: Type.Optional(words('file', 'memory')),
    ...common
  })
], { description: 'The layer between several gateways. Default: memory, for one.' })

const Api = closed({
  keys: Type.Array(closed({
    key: given('The secret, 32 characters at least.'),
    name: Type.String({ minLength: 1, maxLength: 64, description: 'What logs and metrics call the key.' }),
    rooms: Type.Array(Type.String({ minLength: 1 }), { minItems: 1, description: 'Names of rooms; * is any segment, at the end any number.' }),
    may: Type.Array(words('publish', 'read', 'revoke', 'members', 'clear'), { minItems: 1 })
  }), { minItems: 1 }),
  rate: Type.Optional(Rate)
}, 'The server API, by which other programs publish, read and revoke.')

/** What a config file may say: the parser and the published schema are this. */
export const configSchema = closed({
  $schema: Type.Optional(Type.String()),
  listen: Type.Optional(closed({
    port: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535, description: 'Default 3000; 0 takes a free one.' })),
    host: Type.Optional(Type.String({ minLength: 1, description: 'Default 127.0.0.1; 0.0.0.0 for all addresses.' }))
  })),
  tls: Type.Optional(closed({
    key: given('The private key, PEM.'),
    cert: given('The certificate with its chain, PEM.')
  }, 'TLS, where no proxy does it.')),
  trustProxy: Type.Optional(Type.Union([
    Type.Boolean(), Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })
  ], { description: 'Behind a proxy: true, or its addresses.' })),
  log: Type.Optional(closed({
    level: Type.Optional(words('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'))
  })),
  jwt: closed({
    secret: Type.Optional(given('For HS256: at least 32 bytes.')),
    publicKey: Type.Optional(given('For RS256, ES256 and the like: the public key, PEM.')),
    jwks: Type.Optional(Type.String({ minLength: 1, description: 'The URL of a key set.', examples: ['https://login.example.com/.well-known/jwks.json'] })),
    algorithms: Type.Optional(Type.Array(words(
      'HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'
    ), { minItems: 1 })),
    issuer: Type.Optional(Type.String({ minLength: 1, description: 'The claim iss of each token.' })),
    audience: Type.Optional(Type.String({ minLength: 1, description: 'What the claim aud of each token names.' }))
  }, 'How tokens are verified: one of secret, publicKey and jwks.'),
  auth: Type.Optional(closed({
    carriers: Type.Optional(Type.Array(words('header', 'subprotocol', 'ticket', 'cookie', 'query'), { minItems: 1 })),
    cookie: Type.Optional(Type.String({ minLength: 1 })),
    ticket: Type.Optional(closed({ ttl: ms('Milliseconds within which a ticket has to be used. Default 30000.') })),
    requireExp: Type.Optional(Type.Boolean())
  })),
  origins: Type.Optional(Type.Union([words('same', 'any'), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })], {
    description: 'Pages that may use the gateway: "same", "any", or a list such as https://app.example.com.'
  })),
  adapter: Type.Optional(Adapter),
  prefix: Type.Optional(Type.String({ pattern: '^(/[A-Za-z0-9._~-]+)+$', maxLength: 255, description: 'Where all URLs begin. Default /ws.', examples: ['/ws'] })),
  capacity: count('Connections of this process. Default 10000.'),
  heartbeat: ms('Milliseconds between pings. Default 25000.'),
  compression: Type.Optional(Type.Union([
    Type.Literal(false), closed({ threshold: Type.Optional(Type.Integer({ minimum: 0 })) })
  ])),
  limits: Type.Optional(closed({
    user: Type.Optional(closed({ connections: Type.Integer({ minimum: 1 }), then: words('reject', 'replace') })),
    address: count('Connections from one address. Default: no limit.'),
    pending: Type.Optional(closed({ total: count('Upgrades under way.'), address: count('Upgrades under way of one address.') })),
    rooms: count('Rooms of one connection. Default 128.'),
    message: count('Bytes of a message. Default 65536.'),
    rate: Type.Optional(Rate),
    event: count('Bytes of an event. Default 262144.'),
    outbox: count('Bytes that wait for one connection. Default 1048576.'),
    remembered: Type.Optional(closed({ bytes: count('Bytes of all users.'), perUser: count('Bytes of one user.') })),
    whenUnavailable: Type.Optional(words('admit', 'refuse'))
  })),
  history: Type.Optional(Type.Union([
    Type.Literal(false),
    closed({
      size: count('Events of one room. Default 100.'),
      ttl: ms('Milliseconds for which an event is kept. Default 300000.'),
      bytes: count('Bytes of the events of all rooms. Default 67108864.')
    })
  ])),
  presence: Type.Optional(closed({ grace: ms('From a lost connection to its leave. Default 15000.', 0), lease: ms('Life of the entries of a dead node. Default 60000.') })),
  drain: Type.Optional(closed({
    rate: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: 'Connections per second. Default 500.' })),
    timeout: ms('Milliseconds at most. Default 20000.', 0)
  })),
  timeouts: Type.Optional(closed({
    handler: ms('Of a message. Default 30000.'),
    authentication: ms('Of the key server. Default 5000.'),
    upgrade: ms('From an upgrade to its handshake. Default 10000.'),
    close: ms('Of the closing handshake. Default 5000.'),
    write: ms('For what a peer does not take. Default 30000.')
  })),
  sse: Type.Optional(closed({ comment: ms('Between comments. Default 15000.'), age: ms('Of the life of a stream. Default 300000.') })),
  health: Type.Optional(closed({
    loopDelay: ms('Delay of the event loop from which on health?deep=1 answers with 503. Default 1000.'),
    capacity: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 100, description: 'And from how many percent of capacity on. Default 100.' }))
  })),
  stats: Type.Optional(Type.Union([Type.Literal(false), closed({ token: Type.Optional(given('The bearer of scrapers, 32 characters at least.')) })], {
    description: 'The routes stats: for users whose claim role is admin, and for the bearer token.'
  })),
  api: Type.Optional(Api),
  hooks: Type.Optional(Hooks),
  rooms: Type.Record(Type.String(), Room, { description: 'The rooms by their name patterns, such as chat/:id.', minProperties: 1 })
}, 'The config of a gateway of fastify-realtime.')

/** What a config file or module may say. */
export type GatewayConfig = Static<typeof configSchema>
export type RoomConfig = Static<typeof Room>
export type MessageConfig = Static<typeof Message>
export type HooksConfig = Static<typeof Hooks>
export type GivenConfig = Static<typeof Given>
export type AdapterConfig = Static<typeof Adapter>
/** What a backend is asked, or told of. */
export type HookName = typeof HOOKS[number]
export const ALL_HOOKS: readonly HookName[] = HOOKS

/** The published file, with the name of the dialect that editors need. */
export function publishedSchema (): string {
  const schema: TSchema = configSchema
  return `${JSON.stringify({ $schema: 'http://json-schema.org/draft-07/schema#', title: 'fastify-realtime gateway', ...schema }, null, 2)}\n`
}
