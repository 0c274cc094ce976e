import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import { explain, show } from '../errors/explain.js'
import type { Carrier, RealtimeOptions } from '../types/options.js'
import { checkApi } from './api.js'
import { DEFAULTS } from './defaults.js'
import { checkForeign } from './foreign.js'
import { optionsSchema, roomOptionsSchema } from './schema.js'

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
  readonly health: { readonly loopDelay: number, readonly capacity: number }
  readonly tracing: { readonly toClients: boolean }
}

function mustBeFunction (value: unknown, path: string): void {
  if (value !== undefined && typeof value !== 'function') {
    throw new REALTIME_ERR_OPTIONS(`${path} must be a function, got ${show(value)}`)
  }
}

/**
 * @throws REALTIME_ERR_OPTIONS naming the path and the fix
 */
export function resolveOptions (options: RealtimeOptions): Settings {
  const fault = explain(optionsSchema, options, 'options')
  if (fault !== undefined) throw new REALTIME_ERR_OPTIONS(fault)
  checkForeign(options)
  mustBeFunction(options.authenticate, 'options.authenticate')
  mustBeFunction(options.userId, 'options.userId')
  mustBeFunction(options.onRefused, 'options.onRefused')
  mustBeFunction(options.onOnline, 'options.onOnline')
  mustBeFunction(options.onOffline, 'options.onOffline')
  if (options.stats !== false) {
    mustBeFunction(options.stats?.authorize, 'options.stats.authorize')
    checkToken(options.stats?.token)
  }
  if (options.api !== undefined) {
    checkApi(options.api)
    mustBeFunction(options.api.authorize, 'options.api.authorize')
  }
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
  checkCookie(auth.cookie)
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
      : { threshold: options.compression.threshold ?? DEFAULTS.compressionThreshold },
    health: { ...DEFAULTS.health, ...options.health },
    tracing: { toClients: options.tracing?.toClients ?? false }
  }
}

/** What is asked for stands in a header behind `Bearer`, up to the next space. The error does not show it. */
function checkToken (token: unknown): void {
  if (token === undefined || (typeof token === 'string' && /^[!-~]+$/.test(token))) return
  throw new REALTIME_ERR_OPTIONS(
    'options.stats.token is a string of printable ASCII characters, without spaces: no header can carry another one; make one with: openssl rand -base64 32'
  )
}

function checkCookie (name: unknown): void {
  if (name === undefined || (typeof name === 'string' && /^[!-:<>-~]+$/.test(name))) return
  throw new REALTIME_ERR_OPTIONS(
    `options.auth.cookie is the name of a cookie alone: printable ASCII characters without spaces, "=" and ";", such as 'session'; got ${show(name)}`
  )
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
  const fault = explain(roomOptionsSchema, options, `options of "${room}"`)
  if (fault !== undefined) throw new REALTIME_ERR_OPTIONS(fault)
  const { authorize, onJoin, onLeave, onOccupied, onVacated } = options as Record<string, unknown>
  mustBeFunction(authorize, `options of "${room}".authorize`)
  mustBeFunction(onJoin, `options of "${room}".onJoin`)
  mustBeFunction(onLeave, `options of "${room}".onLeave`)
  mustBeFunction(onOccupied, `options of "${room}".onOccupied`)
  mustBeFunction(onVacated, `options of "${room}".onVacated`)
}
