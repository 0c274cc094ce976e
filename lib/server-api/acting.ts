import { Refusal } from '../errors/refusal.js'
import type { Hub } from '../rooms/hub.js'
import type { ApiCall } from '../types/api-options.js'
import type { Rooms } from '../types/rooms.js'
import type { Call } from './calls.js'

type Fields = Readonly<Record<string, unknown>>

export interface ActingOptions {
  readonly hub: Hub
  readonly rooms: Pick<Rooms, 'join' | 'leave' | 'revoke' | 'close' | 'clear'>
}

/** Fields that a body may have, by what it asks for. */
const FIELDS = {
  join: ['user', 'connection', 'of', 'room'],
  leave: ['user', 'connection', 'of', 'room'],
  revoke: ['user', 'connection', 'tokenId', 'room', 'message', 'until'],
  close: ['user', 'connection', 'room', 'code', 'message'],
  clear: ['room']
} as const

export type Action = keyof typeof FIELDS

/** Does for other programs what `app.rooms` does for the application. Each rejects with a Refusal. */
export class ApiActing {
  readonly #options: ActingOptions

  constructor (options: ActingOptions) {
    this.#options = options
  }

  async join (call: Call, body: unknown): Promise<object> {
    const { target, room } = await this.#moved(call, 'join', body)
    return { joined: await this.#options.rooms.join(target, room) }
  }

  async leave (call: Call, body: unknown): Promise<object> {
    const { target, room } = await this.#moved(call, 'leave', body)
    return { left: await this.#options.rooms.leave(target, room) }
  }

  async revoke (call: Call, body: unknown): Promise<object> {
    const { message, until, ...target } = fieldsOf(body, 'revoke')
    const isOneRoom = 'user' in target && 'room' in target
    if (isOneRoom) checkOne({ ...target, room: undefined }, 'user with its room')
    else checkOne(target, 'user, connection, tokenId or room')
    await this.#allow(call, 'revoke', target)
    // What the target and its options are is checked there.
    const count = await this.#options.rooms.revoke(target as never, { message, until } as never)
    return isOneRoom ? { left: count } : { closed: count }
  }

  async close (call: Call, body: unknown): Promise<object> {
    const { message, code, ...target } = fieldsOf(body, 'close')
    checkOne(target, 'user, connection or room')
    await this.#allow(call, 'close', target)
    // What the target and its options are is checked there.
    return { closed: await this.#options.rooms.close(target as never, { message, code } as never) }
  }

  async clear (call: Call, body: unknown): Promise<object> {
    const room = this.#room(call, fieldsOf(body, 'clear').room)
    await this.#allow(call, 'clear', { room })
    await this.#options.rooms.clear(room)
    return {}
  }

  async #moved (call: Call, action: 'join' | 'leave', body: unknown): Promise<{ target: never, room: string }> {
    const { room, ...target } = fieldsOf(body, action)
    const name = this.#room(call, room)
    checkOne(target, 'user, connection or of')
    const { of } = target
    if (of !== undefined) this.#room(call, of, 'of')
    await this.#allow(call, action, { ...target, room: name })
    // What the target is, is checked where it is used.
    return { target: (of === undefined ? target : { room: of }) as never, room: name }
  }

  /** Asks the application, and checks the room where one is named. */
  async #allow (call: Call, action: ApiCall['action'], { user, room, of }: Fields): Promise<void> {
    await call.allow({
      action,
      ...(room === undefined ? {} : { room: this.#room(call, room) }),
      ...(typeof of === 'string' ? { of } : {}),
      ...(typeof user === 'string' ? { user } : {})
    })
  }

  /** @throws Refusal for what is no room, is not declared, or is none of the key's */
  #room ({ caller }: Call, room: unknown, field = 'room'): string {
    if (typeof room !== 'string') throw new Refusal('invalid_message', { message: `${field} is the name of a room` })
    caller.checkRoom(room)
    this.#options.hub.resolve(room)
    return room
  }
}

/** @throws Refusal `invalid_message` for no target, and for several, of which all but one would be left as they are */
function checkOne (target: Fields, choice: string): void {
  if (Object.values(target).filter((value) => value !== undefined).length === 1) return
  throw new Refusal('invalid_message', { message: `name one of ${choice}` })
}

/** @throws Refusal `invalid_message` */
function fieldsOf (body: unknown, action: Action): Fields {
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
