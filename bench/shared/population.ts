import type { Population } from './messages.js'

/**
 * The rooms of a client: one from each of `roomsPerClient` bands of rooms, so that no room comes twice, every room has
 * the same number of members, and two clients that share one room hardly share another.
 */
export function roomsOf (client: number, { rooms, roomsPerClient }: Population): number[] {
  const band = rooms / roomsPerClient
  const block = Math.floor(client / band)
  return Array.from({ length: roomsPerClient }, (_, i) => i * band + (client + block * i * 7) % band)
}

/** Members of each room among the clients of each load generator. */
export function membersByLoader (population: Population, loaders: number): Uint32Array[] {
  const members = Array.from({ length: loaders }, () => new Uint32Array(population.rooms))
  for (let client = 0; client < population.clients; client++) {
    const mine = members[client % loaders]!
    for (const room of roomsOf(client, population)) mine[room]!++
  }
  return members
}

export function roomName (room: number): string { return `room/${room}` }
