import type { Population } from './shared/messages.js'
import type { Mode } from './options.js'

export type Drive =
  /** closed loop: the next turns start when all members have what the last ones sent */
  | { readonly kind: 'rounds', readonly burst: number, readonly turns: number }
  /** members speak, each again as soon as it is acked */
  | { readonly kind: 'speak', readonly speakers: number }
  | { readonly kind: 'rate', readonly perSecond: number }
  | { readonly kind: 'upgrades' }
  | { readonly kind: 'idle', readonly before: number }

/** What is aimed at: socket.io's cost over ours at least, ours over uWebSockets.js's at most. */
export interface Goal {
  readonly socketio?: number
  readonly user?: number
  readonly uws?: number
  readonly writes?: number
}

export interface Workload extends Population {
  readonly id: string
  readonly group: string
  readonly title: string
  readonly drive: Drive
  readonly compression: boolean
  readonly presence: boolean
  readonly flush: number
  readonly isLong: boolean
  /** measured for fastify-realtime alone */
  readonly isOursAlone: boolean
  /** the workload whose peers this one is held against, if not its own */
  readonly against: string
  readonly goal: Goal
}

/** Milliseconds of the parts of one measurement. */
export interface Times {
  readonly warmup: number
  readonly measure: number
  /** nothing may arrive for so long before a part is over */
  readonly quiet: number
}

export const TIMES: Readonly<Record<Mode, Times>> = {
  full: { warmup: 1_000, measure: 3_000, quiet: 250 },
  quick: { warmup: 500, measure: 1_500, quiet: 150 },
  smoke: { warmup: 20, measure: 50, quiet: 40 }
}

type Given = Partial<Omit<Workload, 'id' | 'title' | 'drive'>>

/** What a server is warmed up with whose events come at a fixed rate: too few of them to have its code compiled. */
export const BRISK: Drive = { kind: 'rounds', burst: 1, turns: 50 }

/** Deliveries after which the loop is closed, where rooms are small. */
const ROUND = 1_000
const TURNS = 50

function workload (id: string, title: string, population: Population, drive: Drive, given: Given = {}): Workload {
  return {
    ...population,
    id,
    group: id,
    title,
    drive,
    compression: false,
    presence: false,
    flush: 0,
    isLong: false,
    isOursAlone: false,
    against: id,
    goal: {},
    ...given
  }
}

function singles (population: Population): Drive {
  const members = population.clients * population.roomsPerClient / population.rooms
  return { kind: 'rounds', burst: 1, turns: Math.max(1, Math.min(TURNS, Math.floor(ROUND / members))) }
}

/**
 * With a handful of clients it is enough to see that each peer runs: once without ingest, once with, once compressed.
 */
const SMOKE: readonly string[] = ['W1', 'W3', 'Z']

export function workloads (mode: Mode): Workload[] {
  return mode === 'smoke'
    ? all(mode).map((each) => SMOKE.includes(each.id) ? each : { ...each, isOursAlone: true })
    : all(mode)
}

function all (mode: Mode): Workload[] {
  const pick = <T>(full: T, quick: T, smoke: T): T => mode === 'full' ? full : mode === 'quick' ? quick : smoke
  const one = (clients: number): Population => ({ clients, rooms: 1, roomsPerClient: 1 })
  const thousand = one(pick(1_000, 1_000, 40))
  const many = one(pick(10_000, 5_000, 60))
  const chat = { clients: pick(5_000, 2_500, 40), rooms: pick(100, 50, 4), roomsPerClient: 1 }
  const mesh = pick(10_000, 2_000, 100)
  const w5 = { clients: mesh, rooms: mesh, roomsPerClient: 20 }
  const idle = one(pick(10_000, 4_000, 50))
  // So many that each server's full collections, which come every few thousand connections and cost as much as
  // hundreds, are in with their share.
  const upgrades = one(pick(10_000, 4_000, 50))
  const fixed = one(pick(100, 100, 10))
  const rate: Drive = { kind: 'rate', perSecond: 400 }
  return [
    workload('W1', `single events to ${thousand.clients} members`, thousand, singles(thousand), {
      goal: { socketio: 1.5, user: 3, uws: 1.35, writes: 1 }
    }),
    workload(
      'W2',
      `bursts of 20 events to ${thousand.clients} members`,
      thousand,
      { kind: 'rounds', burst: 20, turns: 1 },
      { goal: { socketio: 18, user: 25, uws: 1.4, writes: 0.05 } }
    ),
    workload(
      'W3',
      `chat, ${chat.rooms} rooms of ${chat.clients / chat.rooms}, 4 of each speaking, presence and acks, ingest included`,
      chat,
      { kind: 'speak', speakers: 4 },
      { presence: true, goal: { socketio: 2, user: 3.2, uws: 1.6, writes: 0.8 } }
    ),
    workload('W4', `single events to ${many.clients} members`, many, singles(many), {
      goal: { socketio: 1.7, user: 4, uws: 1.35 }
    }),
    workload('W5', `single events, ${w5.clients} clients in 20 of ${w5.rooms} rooms each`, w5, singles(w5), {
      goal: { socketio: 1.7, user: 3.3, uws: 1.45 }
    }),
    workload('L0', `400 events/s to each of ${fixed.clients} members`, fixed, rate, { group: 'L' }),
    ...pick(
      [5, 10, 25],
      [5, 10, 25],
      [10]
    ).map((flush) => workload(`L${flush}`, `the same, flush window of ${flush} ms`, fixed, rate, {
      group: 'L', flush, isOursAlone: true, against: 'L0', goal: flush === 10 ? { socketio: 3, uws: 0.55 } : {}
    })),
    workload(
      'Z',
      `compressed events with 760 bytes of data to ${thousand.clients} members`,
      thousand,
      singles(thousand),
      { compression: true, isLong: true, goal: { socketio: 8, uws: 0.55 } }
    ),
    workload('M', `${idle.clients} idle connections`, idle, { kind: 'idle', before: pick(1_000, 500, 10) }, {
      goal: { socketio: 2.5 }
    }),
    workload('S', `${upgrades.clients} upgrades, each with its own JWT`, upgrades, { kind: 'upgrades' }, {
      goal: { socketio: 1.7 }
    }),
    ...pick(
      [10, 100, 1_000, 10_000],
      [10, 100, 1_000, 5_000],
      [10]
    ).map((members) => workload(`members-${members}`, `one room of ${members}`, one(members), singles(one(members)), {
      group: 'curve',
      isOursAlone: true
    })),
    ...pick([1, 100, 10_000], [1, 100, 10_000], [20]).map((rooms) => {
      const clients = Math.min(rooms * 10, pick(1_000, 1_000, 100))
      const population = { clients, rooms, roomsPerClient: rooms * 10 / clients }
      return workload(`rooms-${rooms}`, `${rooms} rooms of 10`, population, singles(population), {
        group: 'curve',
        isOursAlone: true
      })
    })
  ]
}
