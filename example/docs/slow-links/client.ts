import type { Client } from 'fastify-realtime/client'
import { firstLoad } from './first-load.js'
import { plant } from './rooms.js'

export interface Alarm {
  readonly id: string
  readonly machine: string
  readonly text: string
  readonly at: number
  readonly closedBy?: string | undefined
}

/** What `/plants/:id` answers. */
interface Loaded { readonly lists: Record<string, readonly string[]>, readonly alarms: readonly Alarm[] }

/** What draws the page. */
export interface Page {
  loads (values: ReadonlyMap<string, number>): void
  alarms (open: readonly Alarm[], closed: readonly Alarm[]): void
  /** The alarms are not known: no page without alarms may look as if there were none. It is tried again. */
  notLoaded (error: unknown): void
}

/** Shows a plant, and keeps what is shown whole. `load` is the `fetch` of `/plants/:id`, with the token. */
export async function showPlant (client: Client, id: string, load: () => Promise<Response>, page: Page): Promise<void> {
  const room = client.join(plant.at({ id }))
  let lists: Loaded['lists'] = {}
  let isAsked = false
  const draw = (): void => {
    if (isAsked) return
    isAsked = true
    // One drawing for all values that came together; `room.state` has the newest of each list.
    setTimeout(() => {
      isAsked = false
      const values = new Map<string, number>()
      for (const [name, { percents }] of room.state.get('loads') ?? []) {
        lists[name]?.forEach((machine, at) => {
          if (percents[at]! >= 0) values.set(machine, percents[at]!)   // -1: not measured yet
        })
      }
      page.loads(values)
    }, 100)
  }
  room.on('loads', draw)

  const alarms = new Map<string, Alarm>()               // by id, so that an alarm which comes twice is one
  const add = (more: readonly Alarm[]): void => {
    for (const alarm of more) alarms.set(alarm.id, alarm)
    const all = [...alarms.values()]
    const closed = all.filter(({ closedBy }) => closedBy !== undefined)
    for (const { id } of closed.splice(0, closed.length - 20)) alarms.delete(id)   // an open one is never forgotten
    page.alarms(all.filter(({ closedBy }) => closedBy === undefined), closed)
  }
  room.on('alarm', ({ data }) => { add([data]) })
  await firstLoad(room, async () => {                   // runs again by itself when events were lost
    const answer = await load()
    if (!answer.ok) throw new Error(`the plant answers ${answer.status}`)
    const loaded = await answer.json() as Loaded
    lists = loaded.lists
    draw()
    alarms.clear()                                      // replace, never merge
    add(loaded.alarms)
    return answer                                       // its header says up to which event the answer goes
  }, (error) => { page.notLoaded(error) })
}
