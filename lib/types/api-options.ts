import type { FastifyRequest } from 'fastify'
import type { Awaitable } from '../structures/awaitable.js'

/**
 * What a key of the server API may do: `publish` events; `read` rooms, their history and state, and whether a user is
 * online; `members`: put connections into rooms and take them out, see who is in a room or online, and list
 * connections; `revoke` access, and close connections; `clear` rooms.
 */
export type ApiScope = 'publish' | 'read' | 'revoke' | 'members' | 'clear'

/** A key by which another program uses the server API. */
export interface ApiKey {
  /** The secret: 32 printable characters at least, none of them a space. It is sent as a bearer, and never logged. */
  key: string
  /** How logs, metrics and `authorize` call the key: 1 to 64 characters, of each key another. */
  name: string
  /**
   * The rooms that it may use, by their names: `*` stands for any one segment, at the end for any one or more.
   * `orders/*` is every room below `orders`, `*` is every room.
   */
  rooms: string[]
  /** What it may do in them. What concerns a user, a token or a connection, and names no room, is of no room. */
  may: ApiScope[]
}

/** What a key is about to do, as `authorize` is asked. */
export interface ApiCall {
  /** The name of the key. */
  name: string
  /** What it asks for. */
  action: 'publish' | 'revoke' | 'join' | 'leave' | 'read' | 'close' | 'clear'
  /** The room, where it is about one. */
  room?: string
  /** The room whose members are put into `room` or taken out of it, where they are meant. */
  of?: string
  /** The event that is to be published. */
  event?: string
  /** The user who is concerned, where one is named. */
  user?: string
  /** The request. */
  request: FastifyRequest
}

/** The server API: routes below `<prefix>/api`, by which other programs publish, read and revoke. */
export interface ApiOptions {
  /** The keys. A token of a user is never accepted in place of one. */
  keys: ApiKey[]
  /**
   * Asked for each event and each call that a key may make; what is not `true` refuses with `forbidden`, an error with
   * a 4xx `statusCode` with that one. It has `timeouts.authentication`.
   *
   * @default the scopes and rooms of the key alone decide
   */
  authorize?: (call: ApiCall) => Awaitable<boolean>
  /**
   * What one key may use: a request costs one, and each further event of a list one more, the whole burst at most.
   * More is refused with `rate_limited`.
   *
   * @default { messages: 1_000, burst: 10_000 }
   */
  rate?: {
    /** Requests and events per second. */
    messages: number
    /** Requests and events that may come at once, after a silence. */
    burst: number
  }
}
