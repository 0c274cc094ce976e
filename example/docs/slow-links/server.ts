import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { plant } from './rooms.js'

export interface Alarm { readonly id: string, readonly machine: string, readonly text: string, readonly at: number }

/** Your database. */
export interface Plants {
  mayWatch (user: string, plant: string): Promise<boolean>
  insert (plant: string, alarm: Alarm): Promise<void>
  newest (plant: string, count: number): Promise<Alarm[]>
}

export function declarePlants (app: FastifyInstance, plants: Plants): void {
  app.room(plant, {
    authorize: ({ userId, params }) => plants.mayWatch(userId, params.id),
    flush: 250,                                         // all values of a quarter of a second leave in one write
    history: { size: 50, ttl: 3_600_000 }               // of the alarms, in memory: it ends with the process
  })

  // The same token as that of the link, and the same question as in `authorize`.
  app.get<{ Params: { id: string } }>('/plants/:id/alarms', {
    onRequest: async (request) => { await request.jwtVerify() }
  }, async ({ params, user }, reply) => {
    const { sub } = user as { sub: string }
    if (!await plants.mayWatch(sub, params.id)) return await reply.code(403).send({ code: 'forbidden' })
    await reply.position(plant.at(params))              // first the position, as a header,
    return await plants.newest(params.id, 50)           // then the database
  })
}

/** As often as the sensors say something. */
export async function onMeasured (app: FastifyInstance, id: string, machine: string, percent: number): Promise<void> {
  await app.rooms.broadcast(plant.at({ id }), 'load', { machine, percent })
}

export async function onAlarm (
  app: FastifyInstance, plants: Plants, id: string, machine: string, text: string
): Promise<void> {
  const alarm = { id: randomUUID(), machine, text, at: Date.now() }
  await plants.insert(id, alarm)                                   // first the database,
  await app.rooms.broadcast(plant.at({ id }), 'alarm', alarm)      // then the event
}
