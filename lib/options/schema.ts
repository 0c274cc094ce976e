import { Type } from '@sinclair/typebox'

const closed = { additionalProperties: false }
const Ms = Type.Integer({ minimum: 1, maximum: 2_147_483_647 })
const Count = Type.Integer({ minimum: 1 })
const Fn = Type.Unknown()
const Rate = Type.Object({ messages: Type.Number({ exclusiveMinimum: 0 }), burst: Count }, closed)

/** The options of the plugin; what is a function, or of another plugin, is checked elsewhere. */
export const optionsSchema = Type.Object({
  prefix: Type.Optional(Type.String({ pattern: '^(/[A-Za-z0-9._~-]+)+$', maxLength: 255 })),
  jwt: Type.Optional(Fn),
  websocket: Type.Optional(Fn),
  heartbeat: Type.Optional(Ms),
  compression: Type.Optional(Type.Union([
    Type.Literal(false),
    Type.Object({ threshold: Type.Optional(Type.Integer({ minimum: 0 })) }, closed)
  ])),
  adapter: Type.Optional(Fn),
  validateOutput: Type.Optional(Type.Boolean()),
  authenticate: Type.Optional(Fn),
  userId: Type.Optional(Fn),
  auth: Type.Optional(Type.Object({
    carriers: Type.Optional(Type.Array(
      Type.Union((['header', 'subprotocol', 'ticket', 'cookie', 'query'] as const).map((name) => Type.Literal(name))),
      { minItems: 1 }
    )),
    cookie: Type.Optional(Fn),
    ticket: Type.Optional(Type.Object({ ttl: Type.Optional(Ms) }, closed)),
    requireExp: Type.Optional(Type.Boolean())
  }, closed)),
  origins: Type.Optional(Fn),
  capacity: Type.Optional(Count),
  onRefused: Type.Optional(Fn),
  onOnline: Type.Optional(Fn),
  onOffline: Type.Optional(Fn),
  limits: Type.Optional(Type.Object({
    user: Type.Optional(Type.Object(
      { connections: Count, then: Type.Union([Type.Literal('reject'), Type.Literal('replace')]) },
      closed
    )),
    address: Type.Optional(Count),
    pending: Type.Optional(Type.Object({ total: Type.Optional(Count), address: Type.Optional(Count) }, closed)),
    rooms: Type.Optional(Count),
    message: Type.Optional(Count),
    rate: Type.Optional(Rate),
    event: Type.Optional(Count),
    outbox: Type.Optional(Count),
    remembered: Type.Optional(Type.Object({ bytes: Type.Optional(Count), perUser: Type.Optional(Count) }, closed)),
    whenUnavailable: Type.Optional(Type.Union([Type.Literal('admit'), Type.Literal('refuse')]))
  }, closed)),
  history: Type.Optional(Type.Union([
    Type.Literal(false),
    Type.Object({ size: Type.Optional(Count), ttl: Type.Optional(Ms), bytes: Type.Optional(Count) }, closed)
  ])),
  presence: Type.Optional(Type.Object(
    { grace: Type.Optional(Type.Integer({ minimum: 0, maximum: 2_147_483_647 })), lease: Type.Optional(Ms) },
    closed
  )),
  health: Type.Optional(Type.Object(
    { loopDelay: Type.Optional(Ms), capacity: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 100 })) },
    closed
  )),
  tracing: Type.Optional(Type.Object({ toClients: Type.Optional(Type.Boolean()) }, closed)),
  stats: Type.Optional(Type.Union([
    Type.Literal(false),
    Type.Object(
      {
        authorize: Type.Optional(Fn),
        token: Type.Optional(Fn),
        actions: Type.Optional(Type.Boolean()),
        register: Type.Optional(Fn)
      },
      closed
    )
  ])),
  client: Type.Optional(Type.Boolean()),
  drain: Type.Optional(Type.Object(
    {
      rate: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
      timeout: Type.Optional(Type.Integer({ minimum: 0, maximum: 2_147_483_647 }))
    },
    closed
  )),
  timeouts: Type.Optional(Type.Object(
    {
      handler: Type.Optional(Ms),
      authentication: Type.Optional(Ms),
      upgrade: Type.Optional(Ms),
      close: Type.Optional(Ms),
      write: Type.Optional(Ms)
    },
    closed
  )),
  sse: Type.Optional(Type.Object({ comment: Type.Optional(Ms), age: Type.Optional(Ms) }, closed)),
  api: Type.Optional(Fn),
  route: Type.Optional(Type.Object({
    config: Type.Optional(Fn),
    constraints: Type.Optional(Fn),
    logLevel: Type.Optional(Type.String()),
    onRequest: Type.Optional(Fn),
    preValidation: Type.Optional(Fn),
    preHandler: Type.Optional(Fn),
    schema: Type.Optional(Type.Object(
      {
        tags: Type.Optional(Type.Array(Type.String())),
        hide: Type.Optional(Type.Boolean()),
        security: Type.Optional(Type.Array(Type.Record(Type.String(), Type.Array(Type.String()))))
      },
      closed
    ))
  }, closed))
}, closed)

/** The options of `app.room`. */
export const roomOptionsSchema = Type.Object({
  capacity: Type.Optional(Count),
  history: Type.Optional(Type.Union([
    Type.Literal(false),
    Type.Object({ size: Type.Optional(Count), ttl: Type.Optional(Ms) }, closed)
  ])),
  limits: Type.Optional(Type.Object({ message: Type.Optional(Count), rate: Type.Optional(Rate) }, closed)),
  flush: Type.Optional(Type.Integer({ minimum: 0, maximum: 60_000 })),
  append: Type.Optional(Type.Object(
    { size: Type.Optional(Type.Integer({ minimum: 1, maximum: 16_777_216 })), ttl: Type.Optional(Ms) },
    closed
  )),
  authorize: Type.Optional(Fn),
  onJoin: Type.Optional(Fn),
  onLeave: Type.Optional(Fn),
  onOccupied: Type.Optional(Fn),
  onVacated: Type.Optional(Fn),
  presence: Type.Optional(Fn),
  on: Type.Optional(Fn)
}, closed)
