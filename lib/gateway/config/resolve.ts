import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import type { ApiOptions } from '../../index.js'
import { readKey } from '../hooks/signature.js'
import { ConfigError, below, faultsOf } from './faults.js'
import { Reading, type Sources } from './given.js'
import {
  ALL_HOOKS, configSchema, type AdapterConfig, type GatewayConfig, type HookName, type HooksConfig, type RoomConfig
} from './schema.js'

/** How tokens are verified. */
export type Verification = {
  readonly issuer: string | undefined
  readonly audience: string | undefined
  readonly algorithms: GatewayConfig['jwt']['algorithms']
} & ({ readonly kind: 'secret', readonly key: string } | { readonly kind: 'public', readonly key: string } | {
  readonly kind: 'jwks', readonly url: string
})

/** A backend, and what it is asked. */
export interface HooksSettings {
  readonly url: string
  /** The keys that sign; more than one while they are changed. */
  readonly keys: readonly Buffer[]
  readonly on: ReadonlySet<HookName>
  readonly timeout: number
  readonly retries: number
  readonly concurrency: number
  readonly perUser: number
  readonly queue: number
}

export interface RoomSettings {
  /** The path of the room in the config. */
  readonly path: string
  readonly pattern: string
  readonly config: RoomConfig
  readonly hooks: HooksSettings | undefined
}

/** A config in which nothing is missing any more. */
export interface GatewaySettings {
  readonly config: GatewayConfig
  readonly listen: { readonly port: number, readonly host: string }
  readonly tls: { readonly key: string, readonly cert: string } | undefined
  readonly verification: Verification
  readonly adapter: AdapterConfig
  /** The broker's URL, which may hold a password. */
  readonly brokerUrl: string | undefined
  readonly statsToken: string | undefined
  readonly api: ApiOptions | undefined
  /** The backend of all rooms, which is told who comes and goes also where no room has it. */
  readonly hooks: HooksSettings | undefined
  readonly rooms: readonly RoomSettings[]
}

const HANDLER = 30_000
const UPGRADE = 10_000
/** Bytes of a secret that nobody finds by trying. */
const SECRET = 32

/**
 * Checks a config by its schema and by what no schema says, and reads what stands elsewhere.
 *
 * @throws ConfigError with everything that is wrong
 */
export function resolveConfig (value: unknown, sources: Sources): GatewaySettings {
  const faults = faultsOf(configSchema, value)
  if (faults.length > 0) throw new ConfigError(faults)
  const config = value as GatewayConfig
  const reading = new Reading(sources)
  const verification = verificationOf(config, reading)
  const tls = tlsOf(config, reading)
  const adapter = config.adapter ?? { type: 'memory' as const }
  const brokerUrl = adapter.type === 'memory' || adapter.url === undefined
    ? undefined
    : urlOf(adapter.url, adapter.type === 'redis' ? ['redis:', 'rediss:'] : ['nats:', 'tls:'], reading)
  const token = config.stats === false ? undefined : config.stats?.token
  const statsToken = token === undefined ? undefined : reading.bearer(token, 'stats.token', SECRET)
  const api = apiOf(config, reading)
  const hooks = config.hooks === undefined ? undefined : hooksOf(config.hooks, 'hooks', config, reading)
  const rooms = roomsOf(config, hooks, reading)
  if (reading.faults.length > 0 || verification === undefined) throw new ConfigError(reading.faults)
  return {
    config,
    listen: { port: config.listen?.port ?? 3_000, host: config.listen?.host ?? '127.0.0.1' },
    tls,
    verification,
    adapter,
    brokerUrl,
    statsToken,
    api,
    hooks,
    rooms
  }
}

function verificationOf ({ jwt }: GatewayConfig, reading: Reading): Verification | undefined {
  const { secret, publicKey, jwks, issuer, audience, algorithms } = jwt
  const given = Object.entries({ secret, publicKey, jwks }).flatMap(([name, each]) => each === undefined ? [] : [name])
  if (given.length !== 1) {
    return reading.fault('jwt', given.length === 0
      ? 'says nothing to verify tokens by: give secret, publicKey or jwks'
      : `takes one of secret, publicKey and jwks, not ${given.join(' and ')}`)
  }
  const common = { issuer, audience, algorithms }
  const isSymmetric = secret !== undefined
  const wrong = algorithms?.find((each) => each.startsWith('HS') !== isSymmetric)
  if (wrong !== undefined) {
    return reading.fault('jwt.algorithms', `${wrong} is no algorithm for ${given[0]!}: ${isSymmetric ? 'HS256, HS384 and HS512 are' : 'those with public keys are, such as RS256'}`)
  }
  if (secret !== undefined) {
    const key = reading.secret(secret, 'jwt.secret', SECRET)
    return key === undefined ? undefined : { ...common, kind: 'secret', key }
  }
  if (publicKey !== undefined) {
    const key = reading.text(publicKey, 'jwt.publicKey')
    if (key === undefined) return undefined
    try {
      if (key.includes('PRIVATE KEY')) return reading.fault('jwt.publicKey', 'is a private key: give the public one (openssl pkey -in private.pem -pubout)')
      createPublicKey(key)
    } catch {
      return reading.fault('jwt.publicKey', 'is no public key in PEM: it begins with -----BEGIN PUBLIC KEY-----')
    }
    return { ...common, kind: 'public', key }
  }
  return isHttp(jwks!) ? { ...common, kind: 'jwks', url: jwks! } : reading.fault('jwt.jwks', 'is no URL with http: or https:')
}

function tlsOf ({ tls }: GatewayConfig, reading: Reading): GatewaySettings['tls'] {
  if (tls === undefined) return undefined
  const key = reading.text(tls.key, 'tls.key')
  const cert = reading.text(tls.cert, 'tls.cert')
  if (key === undefined || cert === undefined) return undefined
  try {
    const pair = [createPrivateKey(key), new X509Certificate(cert)] as const
    if (!pair[1].checkPrivateKey(pair[0])) reading.fault('tls.cert', 'belongs to another key than tls.key')
  } catch {
    reading.fault('tls', 'key and cert are not a private key and a certificate in PEM')
  }
  return { key, cert }
}

function urlOf (given: Parameters<Reading['text']>[0], schemes: readonly string[], reading: Reading): string | undefined {
  const url = reading.text(given, 'adapter.url')
  if (url === undefined || (URL.canParse(url) && schemes.includes(new URL(url).protocol))) return url
  return reading.fault('adapter.url', `is no URL with ${schemes.join(' or ')}, such as ${schemes[0]!}//127.0.0.1`)
}

function apiOf ({ api }: GatewayConfig, reading: Reading): ApiOptions | undefined {
  if (api === undefined) return undefined
  const { keys, ...more } = api
  return {
    ...more,
    keys: keys.map(({ key, ...rest }, index) => {
      return { ...rest, key: reading.bearer(key, `${below('api.keys', index)}.key`, SECRET) ?? '' }
    })
  }
}

function isHttp (url: string): boolean { return URL.canParse(url) && /^https?:$/.test(new URL(url).protocol) }

function roomsOf (config: GatewayConfig, common: HooksSettings | undefined, reading: Reading): RoomSettings[] {
  return Object.entries(config.rooms).map(([pattern, room]) => {
    const path = below('rooms', pattern)
    const isBuiltIn = pattern.startsWith('@')
    if (isBuiltIn && room.hooks !== undefined && room.hooks !== false) {
      reading.fault(`${path}.hooks`, 'every connection is a member from the start: hooks "online" and "offline" tell of it')
    }
    const ofRoom = (): HooksSettings | undefined => room.hooks === undefined || room.hooks === false
      ? undefined
      : hooksOf(room.hooks, `${path}.hooks`, config, reading)
    const own = room.hooks === undefined ? common : ofRoom()
    const hooks = isBuiltIn ? undefined : own
    if (isBuiltIn && Object.keys(room.messages ?? {}).length > 0) {
      reading.fault(`${path}.messages`, 'nobody can send to these rooms: declare the messages of a room of your own')
    } else checkMessages(room, path, room.hooks === undefined ? config.hooks : room.hooks, reading)
    if (room.member !== undefined && typeof room.presence !== 'object') {
      reading.fault(`${path}.member`, 'needs presence: { "claims": [...] }, the claims of the token that others see')
    }
    if (room.member === undefined && typeof room.presence === 'object') {
      reading.fault(`${path}.presence`, 'needs member, the schema of what others see; write "presence": true where they see user ids alone')
    }
    return { path, pattern, config: room, hooks }
  })
}

/** Each message is broadcast as an event, or the backend answers it. */
function checkMessages (
  room: RoomConfig, path: string, hooks: HooksConfig | false | undefined, reading: Reading
): void {
  const isAnswered = hooks !== undefined && hooks !== false && (hooks.on ?? ALL_HOOKS).includes('message')
  for (const [name, { broadcast, reply }] of Object.entries(room.messages ?? {})) {
    const at = below(`${path}.messages`, name)
    if (broadcast === undefined) {
      if (!isAnswered) reading.fault(at, 'nobody handles it: add "broadcast": "<event>", or hooks with "message"')
      continue
    }
    if (reply !== undefined) reading.fault(`${at}.reply`, 'nobody answers a message that is broadcast: leave out reply or broadcast')
    const event = typeof broadcast === 'string' ? broadcast : broadcast.event
    const spec = Object.hasOwn(room.events ?? {}, event) ? room.events![event] : undefined
    if (spec === undefined) {
      reading.fault(`${at}.broadcast`, `the room has no event "${event}"; it has ${Object.keys(room.events ?? {}).join(', ') || 'none'}`)
    } else if (spec.delivery === 'append') reading.fault(`${at}.broadcast`, `"${event}" is a text that grows, which no message can be`)
  }
}

function hooksOf (
  hooks: HooksConfig, path: string, config: GatewayConfig, reading: Reading
): HooksSettings | undefined {
  const on = new Set(hooks.on ?? ALL_HOOKS)
  const timeout = hooks.timeout ?? 5_000
  const handler = config.timeouts?.handler ?? HANDLER
  const upgrade = config.timeouts?.upgrade ?? UPGRADE
  const { concurrency = 64, perUser = Math.ceil(concurrency / 8) } = hooks
  if (perUser > concurrency) reading.fault(`${path}.perUser`, `${perUser} is above concurrency (${concurrency}), of which it is a share`)
  if (timeout >= handler) reading.fault(`${path}.timeout`, `${timeout} is not below timeouts.handler (${handler}), after which nobody waits`)
  if (on.has('authorize') && timeout >= upgrade) {
    reading.fault(`${path}.timeout`, `${timeout} is not below timeouts.upgrade (${upgrade}), by which authorize has to be answered`)
  }
  if (!isHttp(hooks.url)) return reading.fault(`${path}.url`, 'is no URL with http: or https:, such as https://app.example.com/realtime')
  const { username, password } = new URL(hooks.url)
  if (username !== '' || password !== '') return reading.fault(`${path}.url`, 'has a password in it: the backend checks the signature instead')
  const keys = (Array.isArray(hooks.secret) ? hooks.secret : [hooks.secret]).flatMap((given, index) => {
    const at = Array.isArray(hooks.secret) ? below(`${path}.secret`, index) : `${path}.secret`
    const text = reading.text(given, at)
    if (text === undefined) return []
    const key = readKey(text)
    if (typeof key !== 'string') return [key]
    reading.fault(at, key)
    return []
  })
  if (keys.length === 0) return undefined
  return {
    url: hooks.url,
    keys,
    on,
    timeout,
    retries: hooks.retries ?? 2,
    concurrency,
    perUser,
    queue: hooks.queue ?? 10_000
  }
}
