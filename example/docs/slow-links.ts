import type { FastifyInstance } from 'fastify'
import type { Client } from 'fastify-realtime/client'
import { defineRoom, number, object, string } from 'fastify-realtime/contract'

export const plant = defineRoom('plants/:id', {
  events: {
    // The newest value of each machine counts: an older one that still waits is replaced.
    load: {
      data: object({ machine: string(), percent: number() }),
      delivery: 'latest',
      key: 'machine'
    },
    // Each of these counts: it is kept, and sent again after a break.
    alarm: object({ machine: string(), text: string() })
  }
})

export function declarePlants (app: FastifyInstance): void {
  app.room(plant, {
    flush: 250,                                         // all values of a quarter of a second leave in one write
    history: { size: 50, ttl: 3_600_000 }               // of the alarms
  })
}

/** As often as the sensors say something. */
export async function onMeasured (app: FastifyInstance, id: string, machine: string, percent: number): Promise<void> {
  await app.rooms.broadcast(plant.at({ id }), 'load', { machine, percent })
}

export function showPlant (client: Client, id: string, draw: (values: ReadonlyMap<string, number>) => void): void {
  const room = client.join(plant.at({ id }), { last: 50 })
  let isAsked = false
  room.on('load', () => {
    if (isAsked) return
    isAsked = true
    // One drawing for all values that came together; `room.state` has the newest of each machine.
    setTimeout(() => {
      isAsked = false
      const values = [...room.state.get('load') ?? []].map(([machine, { percent }]) => [machine, percent] as const)
      draw(new Map(values))
    }, 100)
  })
}
