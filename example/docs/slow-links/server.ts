import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { plant } from './rooms.js'

export interface Alarm {
  readonly id: string
  readonly machine: string
  readonly text: string
  readonly at: number
  readonly closedBy?: string
}

/** Your database. */
export interface Plants {
  mayWatch (user: string, plant: string): Promise<boolean>
  /** The names of the machines of each list, in an order that never changes: another order is another list. */
  lists (plant: string): Promise<Record<string, readonly string[]>>
  insert (plant: string, alarm: Alarm): Promise<void>
  /** All open alarms, and the newest of the closed ones; the oldest first. */
  alarms (plant: string, closed: number): Promise<Alarm[]>
  /** `undefined` where there is no such alarm, or somebody was first. */
  close (plant: string, alarm: string, by: string): Promise<Alarm | undefined>
}

interface Route { Params: { id: string, alarm: string } }

export function declarePlants (app: FastifyInstance, plants: Plants): void {
  app.room(plant, {
    authorize: ({ userId, params }) => plants.mayWatch(userId, params.id),
    flush: 250,                                         // what came in a quarter of a second leaves in one write
    history: { size: 50, ttl: 3_600_000 }               // of the alarms, in memory: it ends with the process
  })

  // The same token as that of the link, and the same question as in `authorize`.
  const onRequest = async (request: FastifyRequest): Promise<void> => { await request.jwtVerify() }

  app.get<Route>('/plants/:id', { onRequest }, async ({ params, user }, reply) => {
    const { sub } = user as { sub: string }
    if (!await plants.mayWatch(sub, params.id)) return await reply.code(403).send({ code: 'forbidden' })
    await reply.position(plant.at(params))              // first the position, as a header,
    return {                                            // then the database
      lists: await plants.lists(params.id),
      alarms: await plants.alarms(params.id, 20)
    }
  })

  app.post<Route>('/plants/:id/alarms/:alarm/close', { onRequest }, async ({ params, user }, reply) => {
    const { sub } = user as { sub: string }
    if (!await plants.mayWatch(sub, params.id)) return await reply.code(403).send({ code: 'forbidden' })
    const alarm = await plants.close(params.id, params.alarm, sub)
    if (alarm === undefined) return await reply.code(409).send({ code: 'not_open' })
    reply.broadcast(plant.at(params), 'alarm', alarm)   // goes out with the answer: what it is now, under the same id
    return alarm
  })
}

/** The loads of one list in one value. One process has the sensors of a list. */
export function packLoads (
  app: FastifyInstance, id: string, list: string, machines: readonly string[]
): (machine: string, percent: number) => Promise<void> {
  const percents = machines.map(() => -1)               // until it is measured, also after a restart
  // As often as the sensors say something: what leaves is the newest value of each quarter of a second.
  return async (machine, percent) => {
    percents[machines.indexOf(machine)] = Math.round(percent)
    await app.rooms.broadcast(plant.at({ id }), 'loads', { list, percents: [...percents] })
  }
}

export async function onAlarm (
  app: FastifyInstance, plants: Plants, id: string, machine: string, text: string
): Promise<void> {
  const alarm = { id: randomUUID(), machine, text, at: Date.now() }
  await plants.insert(id, alarm)                                   // first the database,
  await app.rooms.broadcast(plant.at({ id }), 'alarm', alarm)      // then the event
}
