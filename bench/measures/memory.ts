import type { Sample } from '../sample.js'
import type { Usage } from '../shared/messages.js'
import { eventData } from '../shared/payload.js'
import { roomName } from '../shared/population.js'
import type { Stage } from '../stage.js'
import type { Drive } from '../workloads/types.js'

type Of<K extends Drive['kind']> = Extract<Drive, { kind: K }>

function grown (before: Usage, after: Usage, count: number): { memory: number, heap: number } {
  return { memory: (after.rss - before.rss) / count, heap: (after.heap - before.heap) / count }
}

/** Memory of one idle connection. */
export async function measureIdle (stage: Stage, { before }: Of<'idle'>): Promise<Sample> {
  const { clients } = stage.workload
  await stage.connect(0, before)
  const start = await stage.settled()
  await stage.connect(before, before + clients)
  return grown(start, await stage.settled(), clients)
}

/**
 * Memory of one room with one member: what connections need more that are in many rooms of their own than those that
 * are in one.
 */
export async function measureRooms (stage: Stage, { own }: Of<'rooms'>): Promise<Sample> {
  const { clients } = stage.workload
  // Room numbers of both crowds begin at 0: the first room of a client is counted in neither.
  await stage.connect(0, clients, { rooms: 3 * clients, roomsPerClient: 1 })
  const start = await stage.settled()
  await stage.connect(clients, 2 * clients, { rooms: 3 * clients, roomsPerClient: 1 })
  const some = await stage.settled()
  const rooms = 3 * clients * (own + 1)
  await stage.connect(2 * clients, 3 * clients, { rooms, roomsPerClient: own + 1 })
  const end = await stage.settled()
  return {
    memory: ((end.rss - some.rss) - (some.rss - start.rss)) / (clients * own),
    heap: ((end.heap - some.heap) - (some.heap - start.heap)) / (clients * own)
  }
}

/** Memory of one event that is kept. */
export async function measureRetained (stage: Stage, { events }: Of<'retained'>): Promise<Sample> {
  const { rooms } = stage.workload
  // The rooms are there, and all code is compiled, when the first one is counted.
  await stage.server.call('fill', { rooms, events: 2 })
  const start = await stage.settled()
  await stage.server.call('fill', { rooms, events })
  const { memory, heap } = grown(start, await stage.settled(), rooms * events)
  const payload = Buffer.byteLength(JSON.stringify({ type: 'said', room: roomName(0), data: eventData(false) }))
  return { memory, heap, overhead: memory / payload }
}
