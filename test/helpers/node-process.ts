/**
 * A node as a process of its own, for a test that kills it (victim.ts): `fork(this file, [url of redis or nats or
 * `cluster:<name>`, connections of one user, lease of presence in ms, 'hooks' to tell what its hooks for whole users
 * and rooms are called with])`. It tells its port.
 */
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import { cluster } from '../../lib/adapters/cluster/index.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import type { Adapter } from '../../lib/adapters/adapter.js'
import realtime, { defineRoom } from '../../lib/index.js'

export const SECRET = 'nodes'
/** A room for one. */
export const single = defineRoom('single/:id', {})
/** A room with a cursor for each user, and notes that belong to nobody. */
export const plane = defineRoom('plane/:id', {
  messages: { move: Type.Object({ x: Type.Integer() }) },
  events: {
    cursor: { data: Type.Object({ by: Type.String(), x: Type.Integer() }), delivery: 'latest', key: 'by', owner: true },
    note: { data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'latest', key: 'id' }
  }
})

export function declarePlane (app: FastifyInstance): void {
  app.room(plane, {
    presence: true,
    on: { async move ({ data, userId, room }) { await room.broadcast('cursor', { by: userId, ...data }) } }
  })
}

/** The cursors that a client sees in the room. */
export function cursorsOf (room: { state: { get (event: 'cursor'): ReadonlyMap<string, unknown> | undefined } }): string[] {
  return [...room.state.get('cursor')?.keys() ?? []].sort()
}

/** A room whose texts its node writes on until it is killed, or begins and leaves empty. */
export const tales = defineRoom('tales/:id', {
  messages: { tell: Type.Object({ id: Type.String(), isSilent: Type.Boolean() }) },
  events: {
    tale: { data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'append', key: 'id', append: 'text' }
  }
})

export function declareTales (app: FastifyInstance): void {
  app.room(tales, {
    on: {
      async tell ({ data: { id, isSilent }, room }) {
        const writer = await room.stream('tale', { id })
        if (!isSilent) void tell(writer)
      }
    }
  })
}

const wordAt = (place: number): string => `${place} and `

/** The first words of every tale. */
export function taleOf (words: number): string { return Array.from({ length: words }, (_, n) => wordAt(n)).join('') }

async function tell (writer: { write (chunk: string): Promise<void> }): Promise<never> {
  for (let place = 0; ; place++) {
    await writer.write(wordAt(place))
    await sleep(20)
  }
}

/** What the node says when it listens. */
export interface Ready { readonly port: number }

function adapterAt (url: string): Adapter {
  if (url.startsWith('cluster:')) return cluster({ name: url.slice('cluster:'.length) })
  return url.startsWith('nats:') ? nats({ url }) : redis({ url })
}

async function serve (url: string, connections: number, lease: number, hasHooks: boolean): Promise<void> {
  const tell = (call: string): void => { process.send!(call) }
  const app = Fastify({ logger: false, forceCloseConnections: true })
  await app.register(realtime, {
    jwt: { secret: SECRET },
    adapter: adapterAt(url),
    limits: { user: { connections, then: 'reject' } },
    presence: { grace: 5_000, lease },
    ...(hasHooks
      ? {
          onOnline: ({ userId }) => { tell(`online ${userId}`) },
          onOffline: ({ userId }) => { tell(`offline ${userId}`) }
        }
      : {})
  })
  app.room(single, { capacity: 1 })
  declarePlane(app)
  declareTales(app)
  if (hasHooks) {
    app.room(defineRoom('hall/:id', {}), {
      onOccupied: ({ room, params }) => { tell(`occupied ${room.name} ${params.id}`) },
      onVacated: ({ room, params }) => { tell(`vacated ${room.name} ${params.id}`) }
    })
  }
  // Workers would have one port together.
  await app.listen({ port: 0, host: '127.0.0.1', exclusive: true })
  process.on('disconnect', () => process.exit(0))
  process.send!({ port: (app.server.address() as AddressInfo).port } satisfies Ready)
}

const [, , url, connections = '20', lease = '60000', hooks] = process.argv
if (process.send !== undefined && url !== undefined && /^(redis|nats|cluster):/.test(url)) {
  await serve(url, Number(connections), Number(lease), hooks === 'hooks')
}
