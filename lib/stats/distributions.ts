import type { Declaration } from '../rooms/declaration.js'
import type { Histogram } from '../structures/histogram.js'
import type { Labelled } from './distribution.js'

/** Where the node counts what is told by definition, or by size. */
export interface Counted {
  readonly declarations: { values (): Iterable<Pick<Declaration, 'pattern' | 'messages' | 'events' | 'counted'>> }
  /** By the name of the call. */
  readonly adapterCalls: Readonly<Record<string, Histogram>>
  /** Round trips of heartbeats, in seconds. */
  readonly roundTrips: Histogram
}

type Add = (value: number, labels: Record<string, string>) => void
type Counter = readonly [name: string, help: string, labels: string[], read: (counted: Counted, add: Add) => void]

/** Labels are the names that the application has declared: a client cannot add one. */
export const COUNTERS: readonly Counter[] = [
  [
    'messages_total',
    'Declared messages whose handler has run, by definition and message.',
    ['definition', 'message'],
    ({ declarations }, add) => {
      for (const { pattern, messages } of declarations.values()) {
        for (const [message, { counted }] of messages) {
          add(counted.handled.offered, { definition: pattern.source, message })
        }
      }
    }
  ],
  [
    'message_refusals_total',
    'Declared messages of clients that were answered with an error.',
    ['definition', 'message'],
    ({ declarations }, add) => {
      for (const { pattern, messages } of declarations.values()) {
        for (const [message, { counted }] of messages) add(counted.refused, { definition: pattern.source, message })
      }
    }
  ],
  [
    'events_total',
    'Events published by this node, by definition and event.',
    ['definition', 'event'],
    ({ declarations }, add) => {
      for (const { pattern, events } of declarations.values()) {
        for (const [event, { counted }] of events) add(counted.published, { definition: pattern.source, event })
      }
    }
  ]
]

type Distribution = readonly [
  name: string,
  help: string,
  labels: string[],
  read: (counted: Counted) => Iterable<Labelled>
]

export const DISTRIBUTIONS: readonly Distribution[] = [
  [
    'message_duration_seconds',
    'Time of message handlers, until what they return has settled, of one in 16.',
    ['definition', 'message'],
    function * ({ declarations }) {
      for (const { pattern, messages } of declarations.values()) {
        for (const [message, { counted: { handled } }] of messages) {
          yield { labels: { definition: pattern.source, message }, histogram: handled }
        }
      }
    }
  ],
  [
    'fanout_duration_seconds',
    'Time in which an event was offered to all members on this node, of rooms with at least 64 here.',
    ['definition'],
    function * ({ declarations }) {
      for (const { pattern, counted: { fanOut } } of declarations.values()) {
        yield { labels: { definition: pattern.source }, histogram: fanOut }
      }
    }
  ],
  [
    'resume_events',
    'Events that a member was sent again when it came back, until it was live.',
    ['definition'],
    function * ({ declarations }) {
      for (const { pattern, counted: { resumed } } of declarations.values()) {
        yield { labels: { definition: pattern.source }, histogram: resumed }
      }
    }
  ],
  [
    'heartbeat_duration_seconds',
    'Round trip of heartbeats of WebSockets.',
    [],
    ({ roundTrips }) => [{ labels: {}, histogram: roundTrips }]
  ],
  [
    'adapter_call_duration_seconds',
    'Time of calls of the adapter that went to its broker, failed ones included; of publications one in 16.',
    ['call'],
    ({ adapterCalls }) => Object.entries(adapterCalls).map(([call, histogram]) => ({ labels: { call }, histogram }))
  ]
]
