import type { Metric } from './sample.js'
import { figure } from './table.js'
import type { Drive } from './workloads/types.js'

export interface Column {
  readonly title: string
  readonly metric: Metric
  readonly format?: (value: number) => string
}

/** How what was measured by a kind of drive is told. */
export interface Kind {
  /** what the figures are of */
  readonly unit: string
  readonly columns: readonly Column[]
  /** the figure that two peers are held against each other by */
  readonly rated: Metric
  /** whether less of it is better */
  readonly isCost: boolean
}

const kibibytes = (bytes: number): string => figure(bytes / 1_024)
const percent = (share: number): string => `${Math.round(share * 100)} %`
const exactPercent = (share: number): string => `${figure(share * 100)} %`
export const exact = (value: number): string => value.toFixed(3)

const CPU: readonly Column[] = [
  { title: 'CPU µs', metric: 'cpu' },
  { title: 'user µs', metric: 'user' },
  { title: 'system µs', metric: 'system' }
]
const BYTES: Column = { title: 'bytes', metric: 'bytes' }
const LOAD: readonly Column[] = [
  { title: 'load', metric: 'busy', format: percent },
  { title: 'others', metric: 'others', format: percent }
]

const DELIVERY: Kind = {
  unit: 'CPU, bytes that clients read, and writes per delivered event',
  columns: [
    ...CPU,
    { title: 'events/s', metric: 'perSecond' },
    { title: 'p50 ms', metric: 'p50' },
    { title: 'p99 ms', metric: 'p99' },
    { title: 'p99.9 ms', metric: 'p999' },
    BYTES,
    { title: 'writes (kernel)', metric: 'syscalls', format: exact },
    { title: 'writes (own count)', metric: 'writes', format: exact },
    { title: 'loop p99 ms', metric: 'loopDelay' },
    ...LOAD
  ],
  rated: 'cpu',
  isCost: true
}

const MEMORY: readonly Column[] = [
  { title: 'RSS KiB', metric: 'memory', format: kibibytes },
  { title: 'of it heap and buffers KiB', metric: 'heap', format: kibibytes }
]
const EXACT_MEMORY: readonly Column[] = [
  { title: 'RSS bytes', metric: 'memory' },
  { title: 'of it heap and buffers', metric: 'heap' }
]

export const KINDS: Readonly<Record<Drive['kind'], Kind>> = {
  rounds: DELIVERY,
  speak: DELIVERY,
  rate: DELIVERY,
  library: {
    unit: 'CPU of the process of the clients per event that they read',
    columns: [{ title: 'CPU µs', metric: 'cpu' }, { title: 'events/s', metric: 'perSecond' }],
    rated: 'cpu',
    isCost: true
  },
  churn: {
    unit: 'CPU, and bytes that all members read, per join with its leave',
    columns: [...CPU, { title: 'pairs/s', metric: 'perSecond' }, BYTES, ...LOAD],
    rated: 'cpu',
    isCost: true
  },
  upgrades: {
    unit: 'CPU per upgrade',
    columns: [...CPU, { title: 'upgrades/s', metric: 'perSecond' }, ...LOAD],
    rated: 'perSecond',
    isCost: false
  },
  resume: {
    unit: 'CPU, and bytes that it reads, per client that comes back, what it has missed included',
    columns: [...CPU, { title: 'clients/s', metric: 'perSecond' }, BYTES, ...LOAD],
    rated: 'cpu',
    isCost: true
  },
  start: {
    unit: 'one process',
    columns: [{ title: 'ms', metric: 'start' }],
    rated: 'start',
    isCost: true
  },
  beats: {
    unit: 'CPU per connection and heartbeat, and of a core',
    columns: [...CPU, { title: 'of a core', metric: 'core', format: exactPercent }, { title: 'others', metric: 'others', format: percent }],
    rated: 'cpu',
    isCost: true
  },
  idle: { unit: 'per connection', columns: MEMORY, rated: 'memory', isCost: true },
  rooms: { unit: 'per room', columns: EXACT_MEMORY, rated: 'memory', isCost: true },
  retained: {
    unit: 'per event',
    columns: [...EXACT_MEMORY, { title: 'RSS over the payload', metric: 'overhead' }],
    rated: 'memory',
    isCost: true
  }
}
