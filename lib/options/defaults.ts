import { HISTORY, HISTORY_BYTES, IDEMPOTENCY, REMEMBERED } from '../retention/bounds.js'
import type { Carrier } from '../types/options.js'

/** The only table of defaults. Its values are milliseconds, bytes, or per second. */
export const DEFAULTS = {
  prefix: '/ws',
  capacity: 10_000,
  /** Milliseconds of the event loop, and percent of the slots. */
  health: { loopDelay: 1_000, capacity: 100 },
  heartbeat: 25_000,
  /** The part of a heartbeat within which its answer has to come. */
  pingAnswer: 0.4,
  userConnections: 20,
  rooms: 128,
  streamRooms: 32,
  message: 65_536,
  event: 262_144,
  rate: { messages: 50, burst: 100 },
  /** Of one key of the server API: requests and events. */
  apiRate: { messages: 1_000, burst: 10_000 },
  /** Bytes of one request of the server API. */
  apiBody: 1_048_576,
  outbox: 1_048_576,
  upgradeTimeout: 10_000,
  authenticationTimeout: 5_000,
  pendingUpgrades: 1_000,
  pendingPerAddress: 64,
  closeTimeout: 5_000,
  writeTimeout: 30_000,
  /** Bytes from which on a frame is compressed, where compression is on. */
  compressionThreshold: 512,
  comment: 15_000,
  streamAge: 300_000,
  pollWait: 25_000,
  history: { ...HISTORY, bytes: HISTORY_BYTES },
  idempotency: IDEMPOTENCY,
  remembered: REMEMBERED,
  presence: { grace: 15_000, lease: 60_000 },
  presenceList: 200,
  answer: 262_144,
  waitingFrames: 64,
  handlerTimeout: 30_000,
  drain: { rate: 500, timeout: 20_000 },
  ticket: 30_000,
  ticketsPerUser: 10,
  tickets: 10_000,
  tolerance: 5_000,
  denial: 3_600_000,
  ackTimeout: 10_000,
  pingTimeout: 5_000,
  /** Connections of one page. */
  connections: 100,
  /** Of other nodes, to list their connections. */
  listTimeout: 1_000,
  carriers: ['header', 'subprotocol', 'ticket'] as Carrier[]
} as const
