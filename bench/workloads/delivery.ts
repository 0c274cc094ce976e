import { OURS, PEERS } from '../peers.js'
import type { Population } from '../shared/messages.js'
import { one, workload, type Drive, type Pick, type Workload } from './types.js'

/** Deliveries after which the loop is closed, where rooms are small. */
const ROUND = 1_000
const TURNS = 50

/** Messages per second of the chat that is not saturated. */
const PACE = 400

export function singles (population: Population): Drive {
  const members = population.clients * population.roomsPerClient / population.rooms
  return { kind: 'rounds', burst: 1, turns: Math.max(1, Math.min(TURNS, Math.floor(ROUND / members))) }
}

const WITHOUT_COMPRESSION = ['socketio-uws']

/** What an event costs, from the server's process or from a client's. */
export function deliveries (pick: Pick): Workload[] {
  const thousand = one(pick(1_000, 1_000, 20))
  const many = one(pick(10_000, 5_000, 40))
  const chat = { clients: pick(5_000, 2_500, 20), rooms: pick(100, 50, 2), roomsPerClient: 1 }
  const members = chat.clients / chat.rooms
  const perSecond = pick(PACE, PACE, 100)
  const pairs = pick(200, 200, 10)
  const echo = { clients: pairs, rooms: pairs, roomsPerClient: 1 }
  const mesh = pick(10_000, 2_000, 40)
  const w5 = { clients: mesh, rooms: mesh, roomsPerClient: 20 }
  const fixed = one(pick(100, 100, 5))
  const rate: Drive = { kind: 'rate', perSecond: 400 }
  return [
    workload(
      'C',
      `chat at ${perSecond * members} deliveries/s, ${chat.rooms} rooms of ${members}, presence and acks, ingest included`,
      chat,
      { kind: 'speak', speakers: 4, hasIds: true, perSecond },
      { presence: true, goal: { socketio: 2, uws: 1.6 } }
    ),
    workload(
      'E',
      `echo, ${echo.clients} clients: one message in, one event and one ack out`,
      echo,
      { kind: 'speak', speakers: 1, hasIds: true },
      { goal: { socketio: 1.75, loop: 1.26 } }
    ),
    workload(
      'E-plain',
      'the same, messages without ids and acks',
      echo,
      { kind: 'speak', speakers: 1, hasIds: false },
      { group: 'E', goal: { loop: 1.05 } }
    ),
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
      `saturated chat, ${chat.rooms} rooms of ${members}, 4 of each speaking, presence and acks, ingest included`,
      chat,
      { kind: 'speak', speakers: 4, hasIds: true },
      { presence: true, goal: { socketio: 2, user: 3.2, uws: 1.6, writes: 0.8 } }
    ),
    workload('W4', `single events to ${many.clients} members`, many, singles(many), {
      goal: { socketio: 1.7, user: 4, uws: 1.35 }
    }),
    workload('W5', `single events, ${w5.clients} clients in 20 of ${w5.rooms} rooms each`, w5, singles(w5), {
      goal: { socketio: 1.7, user: 3.3, uws: 1.45 }
    }),
    workload('W5-long', `the same for ${pick(60, 5, 0)} s, past the budget of history`, w5, singles(w5), {
      group: 'W5',
      peers: [OURS],
      against: 'W5',
      measure: pick(60_000, 5_000, 50),
      // So many that history.bytes is full before the first of them is measured.
      fill: { rooms: mesh, events: pick(50, 100, 1) }
    }),
    workload('L0', `400 events/s to each of ${fixed.clients} members`, fixed, rate, { group: 'L' }),
    ...pick(
      [5, 10, 25],
      [5, 10, 25],
      [10]
    ).map((flush) => workload(`L${flush}`, `the same, flush window of ${flush} ms`, fixed, rate, {
      group: 'L',
      flush,
      peers: [OURS],
      against: 'L0',
      goal: flush === 10 ? { socketio: 3, uws: 0.55 } : {}
    })),
    workload(
      'Z',
      `compressed events with 760 bytes of data to ${thousand.clients} members`,
      thousand,
      singles(thousand),
      {
        compression: true,
        isLong: true,
        peers: PEERS.map(({ id }) => id).filter((id) => !WITHOUT_COMPRESSION.includes(id)),
        goal: { socketio: 8, uws: 0.55 }
      }
    ),
    workload('TLS', `single events to ${thousand.clients} members over wss`, thousand, singles(thousand), {
      isSecure: true
    })
  ]
}

/** What the size and the number of rooms add, ours alone. */
export function curve (pick: Pick): Workload[] {
  return [
    ...pick(
      [10, 100, 1_000, 10_000],
      [10, 100, 1_000, 5_000],
      [10]
    ).map((members) => workload(`members-${members}`, `one room of ${members}`, one(members), singles(one(members)), {
      group: 'curve',
      peers: [OURS]
    })),
    ...pick([1, 100, 10_000], [1, 100, 10_000], [20]).map((rooms) => {
      const clients = Math.min(rooms * 10, pick(1_000, 1_000, 100))
      const population = { clients, rooms, roomsPerClient: rooms * 10 / clients }
      return workload(`rooms-${rooms}`, `${rooms} rooms of 10`, population, singles(population), {
        group: 'curve',
        peers: [OURS]
      })
    })
  ]
}
