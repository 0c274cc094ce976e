import { array, boolean, integer, object, oneOf, optional, record, string } from '../contract/build.js'
import { codes } from './codes.js'
import { MAX_KNOWN, type ErrorData } from './frames.js'
import type { GapData, JoinData, PresenceData, RemovedFrame, WelcomeData } from './server-frames.js'

/** A schema for each field of the data of a frame: the compiler misses a field that was added to the frame alone. */
type Fields<T> = Readonly<Record<keyof Required<T>, object>>

const id = optional(string({ description: 'given back in the answer' }))
const room = string({ description: 'the name of the room' })
const position = { epoch: string(), offset: integer({ minimum: 0 }) }
const member = object({ userId: string(), data: optional({}) })
const members = object({ sequence: integer(), total: integer(), list: optional(array(member)) }, {
  title: 'Members',
  description: 'the list is absent for large rooms'
})
const rate = object({ messages: { type: 'number' }, burst: { type: 'number' } })
const joined = {
  epoch: optional(string()),
  offset: optional(integer()),
  resumed: optional(boolean()),
  members: optional(members),
  rate: optional(rate),
  concurrent: optional(array(string())),
  growing: optional(array(string({ description: 'an `append` event of which texts grow' }))),
  latest: optional(object({
    keys: record(string({ description: 'by event the property that is the key of its values' })),
    ttl: integer({ description: 'milliseconds for which values are kept' })
  }))
} satisfies Fields<JoinData>
const error = object({
  code: string({ description: `one of ${Object.keys(codes).join(', ')}, or the application's own` }),
  message: string(),
  retry: oneOf('now', 'backoff', 'refresh', 'never'),
  retryAfter: optional(integer({ description: 'milliseconds' })),
  details: optional(array(object({ path: string(), message: string() })))
} satisfies Fields<ErrorData>)

interface Frame {
  readonly description: string
  /** What it has beside its type. */
  readonly fields: Readonly<Record<string, object>>
}

/** The frames that a client may send, besides the messages of rooms. */
export const CLIENT_FRAMES: Readonly<Record<string, Frame>> = {
  join: {
    description: 'enters a room',
    fields: {
      room,
      id,
      data: optional(object({
        since: optional(object(position)),
        last: optional(integer({ minimum: 0 })),
        connection: optional(string()),
        known: optional({
          type: 'array',
          maxItems: MAX_KNOWN,
          items: { type: 'array', items: [{ type: 'string' }, { type: 'string' }, { type: 'integer' }, { type: 'integer' }] },
          description: 'growing texts that the client has: event, key, length, check'
        })
      }))
    }
  },
  leave: { description: 'leaves a room', fields: { room, id } },
  ping: { description: 'asks for a pong', fields: { id } },
  pong: { description: 'answers a ping', fields: { id } },
  auth: { description: 'renews the credential', fields: { id, data: object({ ticket: string() }) } },
  members: { description: 'asks for the members of a room', fields: { room, id } },
  history: {
    description: 'asks for retained events of a room',
    fields: {
      room,
      id,
      data: optional(object({ since: optional(object(position)), limit: optional(integer({ minimum: 0 })) }))
    }
  },
  presence: { description: 'changes the member data of the sender', fields: { room, id, data: optional({}) } },
  read: {
    description: 'asks for a whole growing text, where parts of it are missing',
    fields: { room, id, data: object({ event: string(), key: string() }) }
  },
  ack: {
    description: 'answers an event that carries `ack`',
    fields: {
      id: string(),
      data: optional({ description: 'the answer to an event that carries `reply`' }),
      error: optional(object({ code: optional(string()), message: optional(string()) }, {
        title: 'AnswerError',
        description: 'why there is no answer'
      }))
    }
  }
}

/** The frames that a server may send, besides the events of rooms. */
export const SERVER_FRAMES: Readonly<Record<string, Frame>> = {
  welcome: {
    description: 'the first frame of every connection',
    fields: {
      data: object({
        connectionId: string(),
        userId: string(),
        version: integer(),
        heartbeat: integer({ description: 'milliseconds' }),
        expires: optional(integer({ description: 'Unix milliseconds' })),
        limits: object({ message: integer(), rooms: integer(), rate }),
        rooms: record(object(joined))
      } satisfies Fields<WelcomeData>)
    }
  },
  ack: { description: 'the answer to a command', fields: { room: optional(room), id, data: optional({}) } },
  error: {
    description: 'a refusal: of a command, of a room, or the reason why the link ends',
    fields: { room: optional(room), id, data: error }
  },
  presence: {
    description: 'users who have come and gone, or are shown with other data now',
    fields: {
      room,
      data: object({
        sequence: integer(),
        joined: array(member),
        left: array(member),
        changed: optional(array(member))
      } satisfies Fields<PresenceData>)
    }
  },
  joined: { description: 'the server has put the connection into a room', fields: { room, data: object(joined) } },
  left: {
    description: 'the server has taken the connection out of a room',
    fields: { room, data: object({ code: string(), message: string() }) }
  },
  gap: {
    description: 'events that are lost: those after `from`, up to `to`',
    fields: {
      room,
      data: object({ epoch: string(), from: optional(integer()), to: integer() } satisfies Fields<GapData>)
    }
  },
  removed: {
    description: 'the value of a key of a `latest` event is gone',
    fields: { room, data: object({ event: string(), key: string() } satisfies Fields<RemovedFrame['data']>) }
  },
  drain: {
    description: 'the node shuts down, and serves the link until then',
    fields: { data: object({ retryAfter: integer({ description: 'milliseconds' }) }) }
  },
  ping: { description: 'asks for a pong', fields: { id } },
  pong: { description: 'answers a ping', fields: { id } }
}

/** What a frame of an `append` event says besides its data, which has a part of the text. */
export const APPENDED: Readonly<Record<string, object>> = {
  id: optional(string({ description: 'the id of the `read` that it answers' })),
  from: integer({ description: 'length of the text before this part, in UTF-16 code units or items' }),
  end: optional({
    description: 'the text has ended',
    anyOf: [oneOf('done', 'lost'), object({ code: string(), message: string() }, { title: 'AppendError' })]
  })
}

/** The schema of a frame. */
export function frameSchema (type: string, fields: Readonly<Record<string, object>>): object {
  return object({ type: { const: type, type: 'string' }, ...fields })
}
