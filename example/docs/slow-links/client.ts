import type { Client } from 'fastify-realtime/client'
import { plant } from './rooms.js'

export interface Alarm { readonly id: string, readonly machine: string, readonly text: string, readonly at: number }

/** What draws the page. */
export interface Page {
  loads (values: ReadonlyMap<string, number>): void
  alarms (newest: readonly Alarm[]): void
}

/** Shows a plant, and keeps what is shown whole. `load` is the `fetch` of `/plants/:id/alarms`, with the token. */
export async function showPlant (client: Client, id: string, load: () => Promise<Response>, page: Page): Promise<void> {
  const room = client.join(plant.at({ id }))
  let isAsked = false
  room.on('load', () => {
    if (isAsked) return
    isAsked = true
    // One drawing for all values that came together; `room.state` has the newest of each machine.
    setTimeout(() => {
      isAsked = false
      const values = [...room.state.get('load') ?? []].map(([machine, { percent }]) => [machine, percent] as const)
      page.loads(new Map(values))
    }, 100)
  })

  const alarms = new Map<string, Alarm>()               // by id, so that an alarm which comes twice is one
  const add = (more: readonly Alarm[]): void => {
    for (const alarm of more) alarms.set(alarm.id, alarm)
    page.alarms([...alarms.values()].slice(-50))
  }
  room.on('alarm', ({ data }) => { add([data]) })
  await room.snapshot(async () => {                     // runs again by itself when events were lost
    const answer = await load()
    if (!answer.ok) throw new Error(`the alarms answer ${answer.status}`)
    const newest = await answer.json() as Alarm[]
    alarms.clear()                                      // replace, never merge
    add(newest)
    return answer                                       // its header says up to which event the answer goes
  })
}
