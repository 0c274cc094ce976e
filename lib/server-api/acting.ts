import { Refusal } from '../errors/refusal.js'
import type { Hub } from '../rooms/hub.js'
import type { Rooms } from '../types/rooms.js'
import type { Call } from './calls.js'

type Fields = Readonly<Record<string, unknown>>

export interface ActingOptions {
  readonly hub: Hub
  readonly rooms: Pick<Rooms, 'join' | 'leave' | 'revoke'>
}

/** Fields that a body may have, by what it asks for. */
const FIELDS = {
  join: ['user', 'connection', 'room'],
  leave: ['user', 'connection', 'room'],
  revoke: ['user', 'connection', 'tokenId', 'message', 'until']
} as const

/** Does for other programs what `app.rooms` does for the application: `join`, `leave` and `revoke`. */
export class ApiActing {
  readonly #options: ActingOptions

  constructor (options: ActingOptions) {
    this.#options = options
  }

  /** @throws Refusal */
  async join (call: Call, body: unknown): Promise<{ readonly joined: number }> {
    const { target, room } = await this.#moved(call, 'join', body)
    return { joined: await this.#options.rooms.join(target, room) }
  }

  /** @throws Refusal */
  async leave (call: Call, body: unknown): Promise<{ readonly left: number }> {
    const { target, room } = await this.#moved(call, 'leave', body)
    return { left: await this.#options.rooms.leave(target, room) }
  }

  /** @throws Refusal */
  async revoke (call: Call, body: unknown): Promise<{ readonly closed: number }> {
    const { message, until, ...target } = fieldsOf(body, 'revoke')
    checkOne(target, 'user, connection or tokenId')
    await call.allow({ action: 'revoke', ...userOf(target) })
    // What the target and its options are is checked there.
    return { closed: await this.#options.rooms.revoke(target as never, { message, until } as never) }
  }

  async #moved (call: Call, action: 'join' | 'leave', body: unknown): Promise<{ target: never, room: string }> {
    const { room, ...target } = fieldsOf(body, action)
    if (typeof room !== 'string') throw new Refusal('invalid_message', { message: 'room is the name of a room' })
    checkOne(target, 'user or connection')
    call.caller.checkRoom(room)
    this.#options.hub.resolve(room)
    await call.allow({ action, room, ...userOf(target) })
    // What the target is, is checked where it is used.
    return { target: target as never, room }
  }
}

/** @throws Refusal `invalid_message` for no target, and for several, of which all but one would be left as they are */
function checkOne (target: Fields, choice: string): void {
  if (Object.keys(target).length === 1) return
  throw new Refusal('invalid_message', { message: `name one of ${choice}` })
}

function userOf ({ user }: Fields): { user?: string } { return typeof user === 'string' ? { user } : {} }

/** @throws Refusal `invalid_message` */
function fieldsOf (body: unknown, action: keyof typeof FIELDS): Fields {
  const known: readonly string[] = FIELDS[action]
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new Refusal('invalid_message', { message: `the body is an object of ${known.join(', ')}` })
  }
  const strange = Object.keys(body).find((field) => !known.includes(field))
  if (strange === undefined) return body as Fields
  throw new Refusal('invalid_message', {
    message: `"${strange.slice(0, 64)}" is no field of it; there are ${known.join(', ')}`
  })
}
