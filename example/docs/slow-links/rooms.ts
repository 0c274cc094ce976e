import { array, defineRoom, integer, object, optional, string } from 'fastify-realtime/contract'

/** An alarm as it is now: open until somebody has closed it. */
const alarm = object({ id: string(), machine: string(), text: string(), at: integer(), closedBy: optional(string()) })

export const plant = defineRoom('plants/:id', {
  events: {
    // The loads of many machines in one value: the percents in the order of the list that the route gives. The newest
    // value of each list counts: an older one that still waits is replaced.
    loads: {
      data: object({ list: string(), percents: array(integer()) }),
      delivery: 'latest',
      key: 'list'
    },
    // Each of these counts: it is kept, and sent again after a break.
    alarm
  }
})
