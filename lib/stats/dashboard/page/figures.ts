import type { RoomView } from '../../inspector.js'
import type { Page } from '../../paging.js'
import type { StatsSnapshot } from '../../snapshot.js'
import { byId, card, rows, say } from './elements.js'
import { counted, lasting, NONE, scaled } from './words.js'

/** The columns of the ledger, in the order in which an event reaches them. */
const LEDGER = ['meant', 'delivered', 'resumed', 'conflated', 'dropped', 'gone', 'queued', 'gaps'] as const

/** A snapshot, and the time of its reading by `performance.now()`. */
interface Read { readonly stats: StatsSnapshot, readonly at: number }

/** The previous snapshot, from which rates are computed. */
let last: Read | undefined

/** Forgets the previous snapshot: one that was read with another token must not count in a rate. */
export function forget (): void { last = undefined }

function sorted (counts: Readonly<Record<string, number>>): Array<[string, number]> {
  return Object.entries(counts).sort(([, a], [, b]) => b - a)
}

/** Shows a snapshot. It shows no rates after the node has restarted, or when another node answers. */
export function show (stats: StatsSnapshot): void {
  const now = performance.now()
  if (last !== undefined && (stats.node !== last.stats.node || stats.uptime < last.stats.uptime)) last = undefined
  const before = last
  const span = before === undefined ? 0 : (now - before.at) / 1_000
  const rate = (of: (from: StatsSnapshot) => number, format: (n: number) => string): string =>
    before === undefined || span === 0 ? NONE : `${format((of(stats) - of(before.stats)) / span)}/s`
  const whole = (n: number): string => `${counted(Math.round(n))} `
  const { connections, events, eventLoop, ledger, messages, outbox, rooms } = stats
  const { capacityPercent: taken, max } = connections
  byId('cards').replaceChildren(
    card('connections', counted(connections.total), `${taken} % of ${counted(max)}`, taken),
    card('users', counted(stats.users), 'on this node'),
    card('rooms', counted(rooms.active), 'with members'),
    card('event loop delay, p99', `${eventLoop.p99} ms`, `p50 ${eventLoop.p50} \u00b7 max ${eventLoop.max} ms`),
    card('messages in', rate((from) => from.messages.in, whole), `${counted(messages.in)} in all`),
    card('events delivered', rate((from) => from.events.out, whole), `${counted(events.out)} in all`),
    card(
      'sent',
      rate((from) => from.events.bytesOut, (n) => scaled(Math.round(n))),
      `${scaled(events.bytesOut)} in all`
    ),
    card('outboxes', scaled(outbox.bytes), `${counted(outbox.frames)} frames wait`)
  )
  rows('transports', Object.entries(connections.transports).map(([name, open]) =>
    [name, open, connections.opened[name as keyof typeof connections.opened]]))
  rows('ledger', LEDGER.map((name) => [name, ledger[name]]))
  rows('definitions', Object.entries(rooms.definitions).map(([name, of]) => [name, of.rooms, of.members]))
  rows('refusals', sorted(stats.refusals))
  rows('closes', sorted(stats.closes))
  rows('errors', sorted(messages.errors))
  if (before === undefined || span >= 1) last = { stats, at: now }
  sayState(stats)
}

function sayState ({ accepting, adapter, node, uptime }: StatsSnapshot): void {
  const isDown = adapter.isUp === false
  say([
    accepting ? 'accepting' : 'not accepting',
    `node ${node}`,
    `adapter ${String(adapter.name)}${isDown ? ' is down' : ''}`,
    `up\u00a0${lasting(uptime)}`
  ].join(' \u00b7 '), accepting && !isDown ? 'good' : 'bad')
}

/** Shows one page of the rooms, with `after` rooms before it. */
export function list ({ items, total, next }: Page<RoomView>, after: number): void {
  rows('rooms', items.map(({ name, members, offset }) => [name, members, offset ?? NONE]))
  byId('page').textContent = items.length === 0
    ? ''
    : `${counted(after + 1)}${NONE}${counted(after + items.length)} of ${counted(total)}`
  byId<HTMLButtonElement>('back').disabled = after === 0
  byId<HTMLButtonElement>('next').disabled = next === undefined
}
