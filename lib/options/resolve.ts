import { Type } from '@sinclair/typebox'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import { explain, show } from '../errors/explain.js'
import type { Carrier, RealtimeOptions } from '../types/options.js'

/** The one table of defaults. Milliseconds, bytes, per second. */
export const DEFAULTS = {
  prefix: '/ws',
  capacity: 10_000,
  heartbeat: 25_000,
  /** of a heartbeat, which its answer may take */
  pingAnswer: 0.4,
  userConnections: 20,
  rooms: 128,
  streamRooms: 32,
  message: 65_536,
  event: 262_144,
  rate: { messages: 50, burst: 100 },
  outbox: 1_048_576,
  upgradeTimeout: 10_000,
  authenticationTimeout: 5_000,
  pendingUpgrades: 1_000,
  pendingPerAddress: 64,
  closeTimeout: 5_000,
  writeTimeout: 30_000,
  comment: 15_000,
  streamAge: 300_000,
  pollWait: 25_000,
  history: { size: 100, ttl: 300_000, bytes: 67_108_864 },
  idempotency: 120_000,
  remembered: { bytes: 67_108_864, perUser: 4_194_304 },
  presence: { grace: 15_000, lease: 60_000 },
  presenceList: 200,
  answer: 262_144,
  waitingFrames: 64,
  handlerTimeout: 30_000,
  drain: { rate: 500, timeout: 20_000 },
  ticket: 30_000,
  ticketsPerUser: 10,
  tickets: 10_000,
  tolerance: 5_000,
  denial: 3_600_000,
  ackTimeout: 10_000,
  pingTimeout: 5_000,
  carriers: ['header', 'subprotocol', 'ticket'] as Carrier[]
} as const

const closed = { additionalProperties: false }
const Ms = Type.Integer({ minimum: 1, maximum: 2_147_483_647 })
const Count = Type.Integer({ minimum: 1 })
const Fn = Type.Unknown()
const Rate = Type.Object({ messages: Type.Number({ exclusiveMinimum: 0 }), burst: Count }, closed)

const schema = Type.Object({
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
    cookie: Type.Optional(Type.String({ minLength: 1 })),
    ticket: Type.Optional(Type.Object({ ttl: Type.Optional(Ms) }, closed)),
    requireExp: Type.Optional(Type.Boolean())
  }, closed)),
  origins: Type.Optional(Fn),
  capacity: Type.Optional(Count),
  onRefused: Type.Optional(Fn),
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
  stats: Type.Optional(Type.Union([
    Type.Literal(false),
    Type.Object(
      {
        authorize: Type.Optional(Fn),
        token: Type.Optional(Type.String({ minLength: 1 })),
        register: Type.Optional(Fn)
      },
      closed
    )
  ])),
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
  route: Type.Optional(Type.Object({
    config: Type.Optional(Fn),
    constraints: Type.Optional(Fn),
    logLevel: Type.Optional(Type.String()),
    onRequest: Type.Optional(Fn),
    preValidation: Type.Optional(Fn),
    preHandler: Type.Optional(Fn),
    schema: Type.Optional(Type.Object(
      { tags: Type.Optional(Type.Array(Type.String())), hide: Type.Optional(Type.Boolean()) },
      closed
    ))
  }, closed))
}, closed)

const roomSchema = Type.Object({
  capacity: Type.Optional(Count),
  history: Type.Optional(Type.Union([
    Type.Literal(false),
    Type.Object({ size: Type.Optional(Count), ttl: Type.Optional(Ms) }, closed)
  ])),
  limits: Type.Optional(Type.Object({ message: Type.Optional(Count), rate: Type.Optional(Rate) }, closed)),
  flush: Type.Optional(Type.Integer({ minimum: 0, maximum: 60_000 })),
  authorize: Type.Optional(Fn),
  onJoin: Type.Optional(Fn),
  onLeave: Type.Optional(Fn),
  presence: Type.Optional(Fn),
  on: Type.Optional(Fn)
}, closed)

/** The options with every default in its place. */
export interface Settings {
  readonly prefix: string
  readonly heartbeat: number
  readonly validateOutput: boolean
  readonly auth: {
    readonly carriers: readonly Carrier[]
    readonly cookie: string | undefined
    readonly ticket: number
    readonly requireExp: boolean
  }
  readonly origins: NonNullable<RealtimeOptions['origins']>
  readonly capacity: number
  readonly limits: {
    readonly user: { readonly connections: number, readonly then: 'reject' | 'replace' }
    readonly address: number | undefined
    readonly pending: { readonly total: number, readonly address: number }
    readonly rooms: number
    readonly message: number
    readonly rate: { readonly messages: number, readonly burst: number }
    readonly event: number
    readonly outbox: number
    readonly remembered: { readonly bytes: number, readonly perUser: number }
    readonly whenUnavailable: 'admit' | 'refuse'
  }
  readonly history: { readonly size: number, readonly ttl: number } | false
  readonly historyBytes: number
  readonly presence: { readonly grace: number, readonly lease: number }
  readonly drain: { readonly rate: number, readonly timeout: number }
  readonly timeouts: {
    readonly handler: number
    readonly authentication: number
    readonly upgrade: number
    readonly close: number
    readonly write: number
  }
  readonly sse: { readonly comment: number, readonly age: number }
  readonly compression: false | { readonly threshold: number }
}

function mustBeFunction (value: unknown, path: string): void {
  if (value !== undefined && typeof value !== 'function') {
    throw new REALTIME_ERR_OPTIONS(`${path} must be a function, got ${show(value)}`)
  }
}

/**
 * A time that a call is given: `Infinity` is one.
 *
 * @throws REALTIME_ERR_OPTIONS naming the path
 */
export function checkTime (value: unknown, path: string): number {
  if (typeof value !== 'number' || !(value >= 0)) {
    throw new REALTIME_ERR_OPTIONS(
      `${path} is milliseconds, 0 or more, got ${typeof value === 'number' ? value : show(value)}`
    )
  }
  return value
}

/** The last moment that a date can name: what every adapter can keep. */
const LAST_DATE = 8.64e15

/**
 * A moment that the application names in Unix milliseconds, as every adapter can keep it: `Infinity` is for ever.
 *
 * @throws REALTIME_ERR_OPTIONS naming the path
 */
export function checkMoment (value: unknown, path: string): number {
  if (typeof value !== 'number' || Number.isNaN(value)) {
    throw new REALTIME_ERR_OPTIONS(
      `${path} is a time in Unix milliseconds, such as Date.now() + 60_000, or Infinity; got ${typeof value === 'number' ? value : show(value)}`
    )
  }
  return Math.min(Math.max(0, Math.ceil(value)), LAST_DATE)
}

/**
 * A number of things, `Infinity` for all of them.
 *
 * @throws REALTIME_ERR_OPTIONS naming the path
 */
export function checkCount (value: unknown, path: string): number {
  if (typeof value !== 'number' || value < 0 || (!Number.isInteger(value) && value !== Number.POSITIVE_INFINITY)) {
    throw new REALTIME_ERR_OPTIONS(
      `${path} is a whole number, 0 or more, got ${typeof value === 'number' ? value : show(value)}`
    )
  }
  return value
}

/**
 * @throws REALTIME_ERR_OPTIONS naming the path and the fix
 */
export function resolveOptions (options: RealtimeOptions): Settings {
  const fault = explain(schema, options, 'options')
  if (fault !== undefined) throw new REALTIME_ERR_OPTIONS(fault)
  mustBeFunction(options.authenticate, 'options.authenticate')
  mustBeFunction(options.userId, 'options.userId')
  mustBeFunction(options.onRefused, 'options.onRefused')
  if (options.stats !== false) mustBeFunction(options.stats?.authorize, 'options.stats.authorize')
  const { auth = {}, limits = {}, history, presence = {}, drain = {}, timeouts = {}, sse = {} } = options
  const carriers = auth.carriers ?? DEFAULTS.carriers
  const event = limits.event ?? DEFAULTS.event
  const outbox = limits.outbox ?? DEFAULTS.outbox
  if (event >= outbox) {
    throw new REALTIME_ERR_OPTIONS(
      `options.limits.event (${event}) must be below options.limits.outbox (${outbox}): one event has to fit into an empty outbox`
    )
  }
  checkOrigins(options.origins, carriers)
  if (carriers.includes('cookie') && auth.cookie === undefined) {
    throw new REALTIME_ERR_OPTIONS(
      'options.auth.cookie: name the cookie that carries the token, e.g. auth: { carriers: [\'cookie\'], cookie: \'session\' }'
    )
  }
  if (!carriers.includes('cookie') && auth.cookie !== undefined) {
    throw new REALTIME_ERR_OPTIONS(
      'options.auth.cookie is given but options.auth.carriers does not name \'cookie\'; add it to the list'
    )
  }
  return {
    prefix: options.prefix ?? DEFAULTS.prefix,
    heartbeat: options.heartbeat ?? DEFAULTS.heartbeat,
    validateOutput: options.validateOutput ?? process.env.NODE_ENV !== 'production',
    auth: {
      carriers,
      cookie: auth.cookie,
      ticket: auth.ticket?.ttl ?? DEFAULTS.ticket,
      requireExp: auth.requireExp ?? true
    },
    origins: options.origins ?? 'same',
    capacity: options.capacity ?? DEFAULTS.capacity,
    limits: {
      user: limits.user ?? { connections: DEFAULTS.userConnections, then: 'reject' },
      address: limits.address,
      pending: {
        total: limits.pending?.total ?? DEFAULTS.pendingUpgrades,
        address: limits.pending?.address ?? DEFAULTS.pendingPerAddress
      },
      rooms: limits.rooms ?? DEFAULTS.rooms,
      message: limits.message ?? DEFAULTS.message,
      rate: limits.rate ?? DEFAULTS.rate,
      event,
      outbox,
      remembered: {
        bytes: limits.remembered?.bytes ?? DEFAULTS.remembered.bytes,
        perUser: limits.remembered?.perUser ?? DEFAULTS.remembered.perUser
      },
      whenUnavailable: limits.whenUnavailable ?? 'admit'
    },
    history: history === false
      ? false
      : { size: history?.size ?? DEFAULTS.history.size, ttl: history?.ttl ?? DEFAULTS.history.ttl },
    historyBytes: history === false ? DEFAULTS.history.bytes : history?.bytes ?? DEFAULTS.history.bytes,
    presence: { grace: presence.grace ?? DEFAULTS.presence.grace, lease: presence.lease ?? DEFAULTS.presence.lease },
    drain: { rate: drain.rate ?? DEFAULTS.drain.rate, timeout: drain.timeout ?? DEFAULTS.drain.timeout },
    timeouts: {
      handler: timeouts.handler ?? DEFAULTS.handlerTimeout,
      authentication: timeouts.authentication ?? DEFAULTS.authenticationTimeout,
      upgrade: timeouts.upgrade ?? DEFAULTS.upgradeTimeout,
      close: timeouts.close ?? DEFAULTS.closeTimeout,
      write: timeouts.write ?? DEFAULTS.writeTimeout
    },
    sse: { comment: sse.comment ?? DEFAULTS.comment, age: sse.age ?? DEFAULTS.streamAge },
    compression: options.compression === undefined || options.compression === false
      ? false
      : { threshold: options.compression.threshold ?? 512 }
  }
}

function checkOrigins (origins: RealtimeOptions['origins'], carriers: readonly Carrier[]): void {
  if (carriers.includes('cookie') && (origins === undefined || origins === 'any')) {
    throw new REALTIME_ERR_OPTIONS(
      `options.origins must be 'same' or a list when the cookie carrier is on (got ${show(origins)}): a browser sends cookies with requests of foreign pages, only the Origin tells them apart`
    )
  }
  if (origins === undefined || origins === 'same' || origins === 'any' || typeof origins === 'function') return
  if (!Array.isArray(origins) || origins.length === 0) {
    throw new REALTIME_ERR_OPTIONS('options.origins is \'same\', \'any\', a non-empty list of origins, or a function')
  }
  for (const origin of origins) {
    if (typeof origin !== 'string' || !URL.canParse(origin) || new URL(origin).origin !== origin) {
      throw new REALTIME_ERR_OPTIONS(
        `options.origins: ${show(origin)} is not an origin; write it as scheme://host[:port] in lower case, without a path or trailing slash`
      )
    }
  }
}

/** @throws REALTIME_ERR_OPTIONS naming the path and the fix */
export function checkRoomOptions (room: string, options: unknown): void {
  const fault = explain(roomSchema, options, `options of "${room}"`)
  if (fault !== undefined) throw new REALTIME_ERR_OPTIONS(fault)
  const { authorize, onJoin, onLeave } = options as Record<string, unknown>
  mustBeFunction(authorize, `options of "${room}".authorize`)
  mustBeFunction(onJoin, `options of "${room}".onJoin`)
  mustBeFunction(onLeave, `options of "${room}".onLeave`)
}
