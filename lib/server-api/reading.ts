import type { Slots } from '../admission/slots.js'
import { Refusal } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import { isPosition, type Position } from '../protocol/position.js'
import { roomOfUser } from '../rooms/built-in.js'
import type { Hub } from '../rooms/hub.js'
import { MemberLists } from '../rooms/member-lists.js'
import type { Turns } from '../structures/turns.js'
import type { ConnectionPage } from '../types/connections.js'
import type { Rooms } from '../types/rooms.js'
import type { Call } from './calls.js'

/** Bytes of the values of one room. */
const STATE = 1_048_576
/** Users in one list of members. */
const MEMBERS = 1_000

export interface ReadingOptions {
  readonly hub: Hub
  readonly slots: Slots
  readonly turns: Turns
  readonly rooms: Pick<Rooms, 'connections'>
}

/** Answers what other programs ask of rooms and users. */
export class ApiReading {
  readonly #options: ReadingOptions

  constructor (options: ReadingOptions) {
    this.#options = options
  }

  /**
   * @param path what follows `rooms/` in the URL, as it stood there
   * @throws Refusal
   */
  async room (call: Call, path: string, query: Readonly<Record<string, unknown>>): Promise<object> {
    const { hub } = this.#options
    const { name, part } = this.#asked(path)
    if (part !== undefined) call.caller.checkScope('read')
    call.caller.checkRoom(name)
    hub.resolve(name)
    await call.allow({ action: 'read', room: name })
    switch (part) {
      case 'history': return await this.#history(name, query)
      case 'state': return await this.#state(name)
      default: return await this.#overview(name)
    }
  }

  /** Tells a room from what is asked of it: `orders/7/state` is the state of `orders/7`, if that is a room. */
  #asked (path: string): { readonly name: string, readonly part?: 'history' | 'state' } {
    const end = path.lastIndexOf('/')
    const last = path.slice(end + 1)
    const name = path.slice(0, Math.max(0, end))
    if ((last === 'history' || last === 'state') && this.#options.hub.declarations.find(name) !== undefined) {
      return { name, part: last }
    }
    return { name: path }
  }

  async #overview (name: string): Promise<object> {
    const { hub } = this.#options
    const { declaration } = hub.resolve(name)
    const { top } = await hub.history(name, undefined, 0)
    const position = top.epoch === '' ? {} : { position: top }
    if (!hub.listsMembers(declaration)) return position
    const { total, list } = new MemberLists(DEFAULTS.answer).fit(await hub.members(name, MEMBERS))
    return { count: total, ...(list === undefined ? {} : { members: list }), ...position }
  }

  async #state (name: string): Promise<object> {
    const { hub, turns } = this.#options
    const state = await hub.state(name, turns, STATE)
    return Object.fromEntries([...state].map(([event, values]) => [event, Object.fromEntries(values)]))
  }

  async #history (name: string, query: Readonly<Record<string, unknown>>): Promise<object> {
    const since = sinceOf(query.since)
    const { hub } = this.#options
    const { top, resumed, events, isPart } = await hub.history(name, since, limitOf(query.limit), DEFAULTS.answer)
    const last = events.at(-1)?.position
    const position = isPart === true && last !== undefined ? last : top
    return {
      ...(position.epoch === '' ? {} : { position }),
      ...(since === undefined ? {} : { resumed }),
      ...(isPart === true ? { more: true } : {}),
      events: events.map(({ payload, position }) => {
        const { type, data, timestamp } = JSON.parse(payload.toString()) as Readonly<Record<string, unknown>>
        return { type, data, offset: position!.offset, timestamp }
      })
    }
  }

  /**
   * Lists open connections: those in a room of the key, of a user, or all by a key for every room. Of each only the
   * rooms are named that the key is for.
   *
   * @throws Refusal
   */
  async connections (call: Call, query: Readonly<Record<string, unknown>>): Promise<ConnectionPage> {
    const { hub, rooms } = this.#options
    const { caller } = call
    const [user, room, cursor] = [once(query, 'user'), once(query, 'room'), once(query, 'cursor')]
    if (room !== undefined) {
      caller.checkRoom(room)
      hub.resolve(room)
    } else if (user === undefined) caller.checkAll()
    await call.allow({
      action: 'read',
      ...(room === undefined ? {} : { room }),
      ...(user === undefined ? {} : { user })
    })
    // What they are is checked there.
    const page = await rooms.connections({ user, room, cursor, limit: limitOf(query.limit) })
    const shown = page.connections.map((each) => ({ ...each, rooms: each.rooms.filter((name) => caller.mayUse(name)) }))
    return { ...page, connections: shown }
  }

  /**
   * @param path what follows `users/` in the URL, as it stood there
   * @throws Refusal
   */
  async user (call: Call, path: string): Promise<{ readonly online: boolean, readonly connections: number }> {
    const userId = decoded(path)
    roomOfUser(userId)
    await call.allow({ action: 'read', user: userId })
    const connections = await this.#options.slots.countUserEverywhere(userId)
    return { online: connections > 0, connections }
  }
}

/** @throws Refusal `invalid_message` */
function decoded (path: string): string {
  try {
    if (!path.includes('/')) return decodeURIComponent(path)
  } catch { /** It is refused below. */ }
  throw new Refusal('invalid_message', { message: 'the id of a user stands in the URL as encodeURIComponent writes it' })
}

/** @throws Refusal `invalid_message` for what stands in the URL twice */
function once (query: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = query[name]
  if (value === undefined || typeof value === 'string') return value
  throw new Refusal('invalid_message', { message: `${name} is given once` })
}

/** @throws Refusal `invalid_message` */
function sinceOf (given: unknown): Position | undefined {
  if (given === undefined) return undefined
  const [, epoch, offset] = /^([^:]+):(\d+)$/.exec(String(given)) ?? []
  const position = { epoch, offset: Number(offset) }
  if (isPosition(position)) return position
  throw new Refusal('invalid_message', { message: 'since is a position: <epoch>:<offset>' })
}

/** @throws Refusal `invalid_message` */
function limitOf (given: unknown): number | undefined {
  if (given === undefined) return undefined
  if (/^\d{1,9}$/.test(String(given))) return Number(given)
  throw new Refusal('invalid_message', { message: 'limit is a whole number, 0 or more' })
}
