import { describeMachine } from '../machine.js'
import { spread } from '../sample.js'
import { figure, range, table } from '../table.js'
import { MEMBERS, ROOMS, WINDOW, type CellResult, type Part } from './cell.js'
import type { Options } from './options.js'
import { ADAPTER_PEERS, type AdapterPeer } from './peers.js'

/** By nodes and peer, in order of repetition. */
export type Results = ReadonlyMap<string, readonly CellResult[]>

export const keyOf = (nodes: number, peer: AdapterPeer): string => `${nodes} ${peer.id}`

interface Column {
  readonly title: string
  readonly read: (part: Part) => number | undefined
  readonly format?: (value: number) => string
}

const percent = (share: number): string => `${Math.round(share * 100)} %`

const SATURATED: readonly Column[] = [
  { title: 'publishes/s', read: ({ perSecond }) => perSecond },
  { title: 'nodes CPU µs', read: ({ nodesCpu }) => nodesCpu },
  { title: 'broker CPU µs', read: ({ brokerCpu }) => brokerCpu },
  { title: 'commands sent', read: ({ sent }) => sent },
  { title: 'broker bytes out', read: ({ brokerBytes }) => brokerBytes },
  { title: 'load', read: ({ busy }) => busy, format: percent }
]
const STEADY: readonly Column[] = [
  { title: 'p50 ms', read: ({ p50 }) => p50 },
  { title: 'p99 ms', read: ({ p99 }) => p99 },
  { title: 'other node p50', read: ({ otherP50 }) => otherP50 },
  { title: 'other node p99', read: ({ otherP99 }) => otherP99 },
  { title: 'commands sent', read: ({ sent }) => sent },
  { title: 'commands run', read: ({ commands }) => commands },
  { title: 'nodes CPU µs', read: ({ nodesCpu }) => nodesCpu },
  { title: 'broker CPU µs', read: ({ brokerCpu }) => brokerCpu }
]

function section (
  columns: readonly Column[],
  part: 'saturated' | 'steady',
  { nodes }: Options,
  results: Results
): string {
  const rows = nodes.flatMap((count) => ADAPTER_PEERS.filter((peer) => results.has(keyOf(count, peer))).map((peer) => {
    const parts = results.get(keyOf(count, peer))!.map((result) => result[part])
    return [String(count), peer.title, ...columns.map(({ read, format }) => range(spread(parts.map(read)), format))]
  }))
  return table(['nodes', '', ...columns.map(({ title }) => title)], rows)
}

function commandsSection ({ nodes }: Options, results: Results): string {
  const most = nodes.at(-1)!
  const rows = ADAPTER_PEERS.filter((peer) => results.has(keyOf(most, peer))).map((peer) => {
    const commands = [...results.get(keyOf(most, peer))!.at(-1)!.commands]
      .filter(([, calls]) => calls >= 0.005)
      .sort(([, a], [, b]) => b - a)
    return [peer.title, commands.map(([name, calls]) => `${name} ${figure(calls)}`).join(', ')]
  })
  return table(['', `commands for one publish, ${most} ${most === 1 ? 'node' : 'nodes'}, steady rate`], rows)
}

function lostSection (results: Results): string {
  const lost = [...results].flatMap(([key, list]) => list.flatMap(({ saturated, steady }) => [
    saturated.lost,
    steady.lost
  ])
    .filter((count) => count !== 0)
    .map((count) => `${key}: ${count}`))
  return lost.length === 0
    ? 'Every member got every event of its room, in every measurement.'
    : `Events that members did not get (negative: got more than were sent), by nodes and peer: ${lost.join('; ')}.`
}

export function adapterReport (options: Options, results: Results, redis: string, failures: readonly string[]): string {
  const { seconds, repeat, rate } = options
  const versions = ADAPTER_PEERS.flatMap((peer) => {
    const result = options.nodes.map((count) => results.get(keyOf(
      count,
      peer
    ))?.[0]).find((found) => found !== undefined)
    return result === undefined ? [] : [`- ${peer.title}: ${result.versions.join(', ')}`]
  })
  return [
    '# Adapters on Redis',
    [
      ...describeMachine(),
      `redis-server ${redis}, one process, nothing on disk`,
      `${repeat === 1 ? 'one repetition' : `${repeat} interleaved repetitions: median (smallest to largest)`}, ${seconds} s for each figure`
    ].join('  \n'),
    versions.join('\n'),
    `The same for all: ${ROOMS} rooms of ${MEMBERS} WebSocket members spread over the nodes, every node publishes into every room, events of some 110 bytes of JSON.
All nodes, the broker and the load generator share the cores of this machine, and others may use it too: more nodes are more processes, not more
computer. The smallest and largest figures say how quiet it was.`,
    `The peers do not do the same with an event. fastify-realtime gives it an offset and stores it in the room's history, from which any node resumes a client;
it goes only to nodes that have members of the room, and to no member before the broker took it, in one order for all. A call may carry an
idempotency key, which costs one more command in the script and is not used here. redis-adapter stores nothing and numbers nothing: every node gets every event,
and members on the publisher's node are served without the broker, so that with one node it is not waited for at all. redis-streams-adapter
puts the events of all rooms into one stream of 10 000 entries, which every node reads whole.`,
    `## As fast as it goes\n\n${WINDOW} events under way at a time, the next when one has arrived. CPU, commands and bytes for one publish with its ${MEMBERS} deliveries.\nLess than one command sent: deliveries did not wait for the broker, and the rest of the publishes still stood in the queue of the node's Redis client.\n\n${section(SATURATED, 'saturated', options, results)}`,
    `## At ${figure(rate)} publishes a second\n\nMilliseconds from before the publish to the member, and to members on another node than the publisher's alone.\n"run" counts the commands inside scripts, too.\n\n${section(STEADY, 'steady', options, results)}`,
    commandsSection(options, results),
    lostSection(results),
    ...(failures.length === 0 ? [] : [failures.map((line) => `- failed: ${line}`).join('\n')])
  ].join('\n\n') + '\n'
}
