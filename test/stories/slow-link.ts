import { Type } from '@sinclair/typebox'
import { connect } from '../../lib/client/index.js'
import { defineRoom } from '../../lib/index.js'
import { narrowWay } from '../helpers/narrow-way.js'
import { eventually, start, statsOf } from '../helpers/net.js'
import type { Teardown } from '../helpers/servers.js'

const board = defineRoom('board', {
  events: {
    gauge: {
      data: Type.Object({ name: Type.String(), at: Type.Number(), pad: Type.String() }),
      delivery: 'latest',
      key: 'name'
    }
  }
})

/** Bytes that the buffers of the way hold, as those of kernels and of a proxy do. */
const BUFFERS = 262_144
/** Values of the room, all of which change once in so many milliseconds. */
const VALUES = 10
const EVERY = 200
/** Milliseconds after which the server takes a link for a fast one, and those that a settled link is watched. */
const FAST = 4_000
const WATCHED = 8_000

export const LINKS = ['websocket', 'sse'] as const
export const RATES = [4_000, 1_500] as const
export type Link = typeof LINKS[number]
/** Bytes a second of a slow link. */
export type Rate = typeof RATES[number]

/** Milliseconds after which what was sent before the server knew has left the buffers of the way. */
const SETTLED = { 1_500: { websocket: 12_000, sse: 24_000 }, 4_000: { websocket: 8_000, sse: 12_000 } } as const
/**
 * How old a value is at most from then on, in milliseconds. A value is some 110 bytes, over SSE 220.
 */
export const MOST = { 1_500: { websocket: 3_000, sse: 4_500 }, 4_000: { websocket: 2_000, sse: 2_500 } } as const

/** Ages and times in milliseconds. */
export interface SlowLink {
  /** The oldest value while the link slowed down, and after what time none was older than `MOST` again. */
  readonly peak: number
  readonly back: number
  /** The oldest value from then on. */
  readonly settled: number
  /** Bytes that the buffers held at most. */
  readonly held: number
  /** The longest time that server, client and link, which share a process, stood still: meanwhile values grow older. */
  readonly stalled: number
  /** What client and broadcasts complained of. */
  readonly errors: readonly string[]
  /** Connections that are left once the link is fast again. */
  readonly left: number
}

const wait = async (ms: number): Promise<void> => { await new Promise((resolve) => { setTimeout(resolve, ms) }) }

/** A link over which ten values are kept up to date slows down, stays slow, and is fast again. */
export async function slowDown (scope: Teardown, transport: Link, rate: Rate): Promise<SlowLink> {
  const server = await start(scope, { declare: (app) => { app.room(board, { flush: 100 }) }, heartbeat: 5_000 })
  const link = await narrowWay(scope, server.port, BUFFERS)
  const token = server.token('ada', {}, 600)
  const client = connect(`http://127.0.0.1:${link.port}/ws`, { transports: [transport], token })
  scope.teardown(() => { client.close() })
  const newest = new Map<string, number>()
  const room = client.join(board)
  room.on('gauge', ({ data }) => { newest.set(data.name, data.at) })
  const errors: string[] = []
  client.on('error', ({ code, message }) => { errors.push(`${code}: ${message}`) })
  const pad = 'x'.repeat(30)
  const feed = setInterval(() => {
    for (let i = 0; i < VALUES; i++) {
      server.app.rooms.broadcast(board, 'gauge', { name: `g${i}`, at: Date.now(), pad })
        .catch((error: Error) => { errors.push(error.message) })
    }
  }, EVERY)
  scope.teardown(() => { clearInterval(feed) })
  const age = (): number =>
    Math.max(newest.size < VALUES ? Infinity : 0, ...[...newest.values()].map((at) => Date.now() - at))
  await wait(FAST)
  await eventually('the age of a value on a fast link', age, (ms) => ms < 1_000)
  link.rate = rate
  const begun = performance.now()
  const settles = begun + SETTLED[rate][transport]
  let [peak, back, settled, stalled] = [0, 0, 0, 0]
  while (performance.now() < settles + WATCHED) {
    const slept = performance.now()
    await wait(100)
    stalled = Math.max(stalled, performance.now() - slept - 100)
    if (slept < settles) peak = Math.max(peak, age())
    else settled = Math.max(settled, age())
    if (age() > MOST[rate][transport]) back = performance.now() - begun
  }
  link.rate = Infinity
  await eventually('the age of a value once the link is fast again', age, (ms) => ms < 1_000)
  const { connections } = await statsOf(server.app)
  return { peak, back, settled, held: link.held, stalled, errors, left: connections.total }
}
