import type { FastifyInstance } from 'fastify'
import type { Client } from 'fastify-realtime/client'
import { defineRoom, integer, number, object } from 'fastify-realtime/contract'

const SLOTS = 60
const MINUTE = 60_000

/** The last hour of one machine, a value for each minute. */
export const machine = defineRoom('machines/:id', {
  events: {
    load: { data: object({ slot: integer(), at: integer(), percent: number() }), delivery: 'latest', key: 'slot' }
  }
})

export interface Point { readonly at: number, readonly percent: number }

/** What was measured, in your database. */
export interface Measured { last (id: string, count: number): Promise<Point[]> }

/** @param at Unix milliseconds; a second value of the same minute replaces the first one */
export async function setLoad (app: FastifyInstance, id: string, at: number, percent: number): Promise<void> {
  const minute = Math.floor(at / MINUTE)
  // An hour later the same slot is set again: so there are never more than 60 values.
  await app.rooms.broadcast(machine.at({ id }), 'load', { slot: minute % SLOTS, at: minute * MINUTE, percent })
}

/** Call it behind the registration of the plugin. */
export function declareMachines (app: FastifyInstance, ids: readonly string[], measured: Measured): void {
  app.room(machine, { // no `authorize`: every signed-in user may join
    history: { size: 1, ttl: SLOTS * MINUTE }           // a value that nobody sets again is kept for an hour
  })
  // After a restart the values in memory are gone. From `onReady` on they can be set, before that it is too early.
  app.addHook('onReady', async () => {
    for (const id of ids) {
      for (const { at, percent } of await measured.last(id, SLOTS)) await setLoad(app, id, at, percent)
    }
  })
}

/** Draws the hour again whenever a value comes. Who joins hears all of them. */
export function showHour (client: Client, id: string, draw: (points: Point[]) => void): void {
  const room = client.join(machine.at({ id }))
  room.on('load', () => {
    const points = [...room.state.get('load')?.values() ?? []]
    draw(points.filter(({ at }) => at > Date.now() - SLOTS * MINUTE).sort((a, b) => a.at - b.at))
  })
}
