import { Type } from '@sinclair/typebox'
import { defineRoom } from '../../../lib/index.js'

export const SECRET = 'a secret of the nodes of a story'

/** A room with history. Every event names itself by an id that is used once. */
export const feed = defineRoom('feed/:id', {
  messages: { say: { data: Type.Object({}), reply: Type.Object({ node: Type.String() }) } },
  events: {
    tick: Type.Object({ id: Type.String(), pad: Type.Optional(Type.String()) }),
    /** what came of a message; its own sender is left out */
    said: Type.Object({ id: Type.String(), by: Type.String() }),
    level: { data: Type.Object({ of: Type.String(), value: Type.Integer() }), delivery: 'latest', key: 'of' }
  }
})

/** A room that shows who is in it. */
export const hall = defineRoom('hall/:id', { events: {}, member: Type.Object({ name: Type.String() }) })

/** Connections that `booth` takes on all nodes together. */
export const SEATS = 3
export const booth = defineRoom('booth/:id', {})

export const FEEDS = ['feed/0', 'feed/1', 'feed/2', 'feed/3'] as const
export const HALL = 'hall/0'
export const BOOTH = 'booth/0'
