import { contractOf } from '../contract/define-room.js'
import { isSpec } from '../contract/family.js'
import { parsePattern, type Pattern } from '../contract/names.js'
import type { Contract, Delivery, MessageSpecs, EventSpecs } from '../contract/types.js'
import type { RoomSettings } from '../adapters/adapter.js'
import type { Awaitable } from '../structures/awaitable.js'
import { CALLS, Histogram, NUMBERS, TURNS } from '../structures/histogram.js'
import { REALTIME_ERR_ROOM, REALTIME_ERR_SCHEMA } from '../errors/misuse.js'
import { RESERVED_TYPES } from '../protocol/frames.js'
import { keyFaultOf, validatorOf } from '../protocol/any-schema.js'
import { SchemaFault, type Validator } from '../protocol/checker.js'
import { latestTtl } from '../retention/latest.js'
import type { RoomTerms } from '../protocol/server-frames.js'
import { APPEND, HISTORY } from '../retention/bounds.js'
import { appendFault, growthOf } from './append-faults.js'
import { ALL, USER, type BuiltIn } from './built-in.js'
import { presenceSettings, type PresenceOption } from './presence-settings.js'

/** First segments of the URL space that are not rooms. */
export const RESERVED_SEGMENTS: ReadonlySet<string> = new Set([
  'stats', 'ticket', 'health', 'api', 'asyncapi.json', 'client.js'
])

/** Milliseconds for which what is written to a text is gathered, where the room has no `flush`. */
const TEXT_FLUSH = 25

type Hook<C, R> = (context: C) => Awaitable<R>

/**
 * The options of `app.room` as the hub uses them: bound to their scope, with contexts that the dispatcher builds.
 */
export interface RoomHooks {
  readonly authorize?: Hook<unknown, boolean> | undefined
  readonly onJoin?: Hook<unknown, void> | undefined
  readonly onLeave?: Hook<unknown, void> | undefined
  readonly onOccupied?: Hook<unknown, void> | undefined
  readonly onVacated?: Hook<unknown, void> | undefined
  readonly presence?: PresenceOption
  readonly on?: Readonly<Record<string, Hook<unknown, unknown>>> | undefined
}

export interface RoomLimits {
  readonly capacity?: number | undefined
  readonly history?: { readonly size?: number, readonly ttl?: number } | false | undefined
  readonly limits?: {
    readonly message?: number
    readonly rate?: { readonly messages: number, readonly burst: number }
  } | undefined
  readonly flush?: number | undefined
  readonly append?: { readonly size?: number, readonly ttl?: number } | undefined
}

interface MessageRule {
  readonly data: Validator
  readonly reply: Validator | undefined
  /** What its reply is called in errors. */
  readonly name: string
  readonly handler: Hook<unknown, unknown>
  /** Whether it does not wait behind other messages of its connection. */
  readonly isConcurrent: boolean
  readonly counted: {
    /** Seconds that its handler took. */
    readonly handled: Histogram
    /** Number of those that were answered with an error. */
    refused: number
  }
}
export interface EventRule {
  readonly data: Validator
  /** What its data is called in errors. */
  readonly name: string
  readonly delivery: Delivery
  readonly key: string | undefined
  /** Whether a value ends with the presence of its user. */
  readonly isOwned: boolean
  readonly counted: { published: number }
  /** What clients answer to it, where they can be asked. */
  readonly reply: Validator | undefined
}

/** What is declared of an `append` event. */
export interface TextRule {
  readonly data: Validator
  /** What its data is called in errors. */
  readonly name: string
  /** The property that tells its texts apart, and the one that grows. */
  readonly key: string
  readonly append: string
  readonly isList: boolean
}

/** A definition made ready on this node: compiled schemas, options with defaults, handlers. */
export interface Declaration {
  readonly pattern: Pattern
  /** The schemas as they were given. */
  readonly contract: Contract
  /** Set for the rooms that every connection is in from the start and that a client cannot name. */
  readonly builtIn: BuiltIn | undefined
  readonly settings: RoomSettings
  readonly params: Validator | undefined
  readonly messages: ReadonlyMap<string, MessageRule>
  /** Events that are broadcast. */
  readonly events: ReadonlyMap<string, EventRule>
  /** `append` events, whose texts are written. */
  readonly texts: ReadonlyMap<string, TextRule>
  readonly member: Validator | undefined
  readonly hasPresence: boolean
  readonly presence: Hook<unknown, unknown> | undefined
  /** Whether members may change what is seen of them. */
  readonly canUpdate: boolean
  readonly authorize: Hook<unknown, boolean> | undefined
  readonly onJoin: Hook<unknown, void> | undefined
  readonly onLeave: Hook<unknown, void> | undefined
  readonly onOccupied: Hook<unknown, void> | undefined
  readonly onVacated: Hook<unknown, void> | undefined
  /** Whether it has one of these two. */
  readonly isWatched: boolean
  readonly capacity: number | undefined
  readonly flush: number
  /** Milliseconds for which what is written to a text is gathered. */
  readonly textFlush: number
  readonly messageLimit: number | undefined
  readonly rate: { readonly messages: number, readonly burst: number } | undefined
  /** What a member's client is told of the room, so that it keeps to it. */
  readonly terms: RoomTerms
  /** The scope's logger, as it was handed in. */
  readonly log: unknown
  /**
   * Its rooms on this node and their members, counted where they change, so that the stats need no walk over all rooms.
   */
  readonly active: { rooms: number, members: number }
  readonly counted: {
    /** Seconds in which an event was offered to the members here, of large rooms. */
    readonly fanOut: Histogram
    /** Numbers of events that members were sent again. */
    readonly resumed: Histogram
  }
}

function split (spec: MessageSpecs[string] | EventSpecs[string]): {
  data: unknown
  reply?: unknown
  concurrent?: boolean
  delivery?: Delivery
  key?: string
  append?: string
  owner?: boolean
} {
  return isSpec(spec) ? spec : { data: spec }
}

function validator (schema: unknown, where: string, limit: number | undefined): Validator {
  try {
    return validatorOf(schema, limit)
  } catch (error) {
    if (error instanceof SchemaFault) throw new REALTIME_ERR_SCHEMA(`${where}: ${error.message}`)
    throw new REALTIME_ERR_SCHEMA(`${where} is not a schema that can be compiled (${(error as Error).message})`)
  }
}

/**
 * Compiles a definition and the options given with it.
 *
 * @param isPublishOnly for a process that serves no connections: handlers and presence are not required
 * @throws REALTIME_ERR_ROOM or REALTIME_ERR_SCHEMA with a message that names the fix
 */
export function declare (
  definition: unknown, hooks: RoomHooks, limits: RoomLimits, defaults: {
    history: { size: number, ttl: number } | false
    message?: number
  }, log: unknown, isPublishOnly = false
): Declaration {
  const contract = contractOf(definition)
  if (contract === undefined) {
    throw new REALTIME_ERR_ROOM('app.room takes a definition made by defineRoom("name/:param", { ... })')
  }
  const pattern = parsePattern((definition as { name: string }).name)
  const name = pattern.source
  const first = pattern.segments[0]!.value
  if (RESERVED_SEGMENTS.has(first.toLowerCase())) {
    throw new REALTIME_ERR_ROOM(
      `"${name}" begins with "${first}", which is a URL of the plugin; rename the room (reserved: ${[...RESERVED_SEGMENTS].join(', ')})`
    )
  }
  const builtIn = name === ALL ? 'all' : pattern.shape === `${USER}/:` ? 'user' : undefined
  if (first.startsWith('@') && builtIn === undefined) {
    throw new REALTIME_ERR_ROOM(
      `"${name}": names beginning with "@" are built in; only "${ALL}" and "${USER}/:id" can be declared`
    )
  }
  if (builtIn !== undefined) {
    const extra = (['on', 'authorize'] as const).find((key) => hooks[key] !== undefined) ??
      (limits.capacity === undefined ? undefined : 'capacity')
    if (extra !== undefined) {
      throw new REALTIME_ERR_ROOM(
        `"${name}" takes no ${extra}: every connection is a member from the start; remove the option`
      )
    }
    if (Object.keys(contract.messages ?? {}).length > 0) {
      throw new REALTIME_ERR_ROOM(`"${name}" cannot have messages; declare them on a room of your own`)
    }
  }
  const limit = limits.limits?.message ?? defaults.message
  const messages = new Map<string, MessageRule>()
  for (const [type, spec] of Object.entries(contract.messages ?? {})) {
    reserve(name, 'message', type)
    const { data, reply, concurrent = false } = split(spec)
    if (typeof concurrent !== 'boolean') {
      throw new REALTIME_ERR_ROOM(`message "${type}" of "${name}": concurrent is true or false`)
    }
    if (isPublishOnly) continue
    const handler = Object.hasOwn(hooks.on ?? {}, type) ? hooks.on![type] : undefined
    if (typeof handler !== 'function') {
      throw new REALTIME_ERR_ROOM(
        `"${name}" declares the message "${type}": give its handler as on: { ${type} (context) { ... } }`
      )
    }
    messages.set(type, {
      data: validator(data, `message "${type}" of "${name}"`, limit),
      reply: reply === undefined ? undefined : validator(reply, `reply of "${type}" of "${name}"`, limit),
      name: `the reply to "${type}"`,
      handler,
      isConcurrent: concurrent,
      counted: { handled: new Histogram(CALLS), refused: 0 }
    })
  }
  for (const type of Object.keys(hooks.on ?? {})) {
    if (!messages.has(type)) {
      throw new REALTIME_ERR_ROOM(
        `"${name}" has a handler for "${type}" but declares no such message; add it to messages in defineRoom or remove the handler`
      )
    }
  }
  const events = new Map<string, EventRule>()
  const texts = new Map<string, TextRule>()
  const keys: Record<string, string> = {}
  let owned = false
  for (const [type, spec] of Object.entries(contract.events ?? {})) {
    reserve(name, 'event', type)
    const { data, delivery = 'reliable', key, append, owner = false, reply } = split(spec)
    if (reply !== undefined && (delivery === 'latest' || delivery === 'append')) {
      throw new REALTIME_ERR_ROOM(
        `event "${type}" of "${name}" has a reply, which nobody can give to values and texts that are kept`
      )
    }
    if (delivery === 'append') {
      const fault = appendFault(data, key, append)
      if (fault !== undefined) throw new REALTIME_ERR_ROOM(`event "${type}" of "${name}" is 'append' ${fault}`)
      texts.set(type, {
        data: validator(data, `event "${type}" of "${name}"`, limit),
        name: `event "${type}"`,
        key: key!,
        append: append!,
        isList: growthOf(data, append!) === 'array'
      })
      continue
    }
    if (append !== undefined) {
      throw new REALTIME_ERR_ROOM(`event "${type}" of "${name}" has append, which only delivery: 'append' uses`)
    }
    if (typeof owner !== 'boolean' || (owner && delivery !== 'latest')) {
      throw new REALTIME_ERR_ROOM(
        `event "${type}" of "${name}" has owner, which is true or false and which only delivery: 'latest' uses`
      )
    }
    owned ||= owner
    if (delivery === 'latest' && typeof key !== 'string') {
      throw new REALTIME_ERR_ROOM(
        `event "${type}" of "${name}" is 'latest' and needs key: the property whose newest value is kept`
      )
    }
    if (delivery !== 'latest' && key !== undefined) {
      throw new REALTIME_ERR_ROOM(`event "${type}" of "${name}" has a key, which only delivery: 'latest' and 'append' use`)
    }
    if (!['reliable', 'latest', 'volatile'].includes(delivery)) {
      throw new REALTIME_ERR_ROOM(`event "${type}" of "${name}": delivery is 'reliable', 'latest', 'volatile' or 'append'`)
    }
    if (delivery === 'latest') {
      const fault = keyFaultOf(data, key!)
      if (fault !== undefined) {
        throw new REALTIME_ERR_ROOM(`event "${type}" of "${name}" is 'latest' with the key "${key!}", ${fault}`)
      }
    }
    if (delivery === 'latest') keys[type] = key!
    events.set(type, {
      data: validator(data, `event "${type}" of "${name}"`, limit),
      name: `data of event "${type}"`,
      delivery,
      key,
      isOwned: owner,
      counted: { published: 0 },
      reply: reply === undefined ? undefined : validator(reply, `reply of "${type}" of "${name}"`, limit)
    })
  }
  const presence = presenceSettings(name, hooks.presence)
  if (!isPublishOnly && owned && presence === undefined) {
    throw new REALTIME_ERR_ROOM(
      `"${name}" has values that end with the presence of their owner: give the room the option presence`
    )
  }
  if (presence?.update === true && contract.member === undefined) {
    throw new REALTIME_ERR_ROOM(`"${name}" lets members change their data: declare its schema as member in defineRoom`)
  }
  if (!isPublishOnly && contract.member !== undefined && presence?.data === undefined) {
    throw new REALTIME_ERR_ROOM(`"${name}" declares member data: give the option presence: ({ user }) => data`)
  }
  const history = limits.history === false || (limits.history === undefined && defaults.history === false)
    ? false
    : { ...HISTORY, ...(defaults.history === false ? {} : defaults.history), ...limits.history }
  const rate = limits.limits?.rate
  const concurrent = [...messages].flatMap(([type, { isConcurrent }]) => isConcurrent ? [type] : [])
  const latest = Object.keys(keys).length > 0
  const settings: RoomSettings = {
    history,
    latest,
    definition: name,
    ...(owned ? { owned } : {}),
    ...(texts.size === 0 ? {} : { append: { ...APPEND, ...limits.append } })
  }
  return {
    pattern,
    contract,
    builtIn,
    settings,
    params: contract.params === undefined
      ? undefined
      : validator(contract.params, `params of "${name}"`, limit),
    messages,
    events,
    texts,
    member: contract.member === undefined
      ? undefined
      : validator(contract.member, `member of "${name}"`, limit),
    hasPresence: presence !== undefined,
    presence: presence?.data,
    canUpdate: presence?.update === true,
    authorize: hooks.authorize,
    onJoin: hooks.onJoin,
    onLeave: hooks.onLeave,
    onOccupied: hooks.onOccupied,
    onVacated: hooks.onVacated,
    isWatched: (hooks.onOccupied ?? hooks.onVacated) !== undefined,
    capacity: limits.capacity,
    flush: limits.flush ?? 0,
    textFlush: limits.flush ?? TEXT_FLUSH,
    messageLimit: limits.limits?.message,
    rate,
    terms: {
      ...(latest ? { latest: { keys, ttl: latestTtl(settings) } } : {}),
      ...(rate === undefined ? {} : { rate }),
      ...(concurrent.length === 0 ? {} : { concurrent })
    },
    log,
    active: { rooms: 0, members: 0 },
    counted: { fanOut: new Histogram(TURNS), resumed: new Histogram(NUMBERS) }
  }
}

function reserve (room: string, kind: string, type: string): void {
  if (RESERVED_TYPES.has(type)) {
    throw new REALTIME_ERR_ROOM(
      `${kind} "${type}" of "${room}": the name is a frame type of the protocol; rename it (reserved: ${[...RESERVED_TYPES].join(', ')})`
    )
  }
  if (!/^[A-Za-z][A-Za-z0-9_.:-]{0,63}$/.test(type)) {
    throw new REALTIME_ERR_ROOM(
      `${kind} "${type}" of "${room}": a name begins with a letter and has up to 64 of A-Z a-z 0-9 _ . : -`
    )
  }
}
