import { defineRoom, integer, number, object, string } from 'fastify-realtime/contract'

export const plant = defineRoom('plants/:id', {
  events: {
    // The newest value of each machine counts: an older one that still waits is replaced.
    load: {
      data: object({ machine: string(), percent: number() }),
      delivery: 'latest',
      key: 'machine'
    },
    // Each of these counts: it is kept, and sent again after a break.
    alarm: object({ id: string(), machine: string(), text: string(), at: integer() })
  }
})
