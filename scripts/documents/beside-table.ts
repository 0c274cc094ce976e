import { BenchTable, numberOf, rounded } from './bench-table.js'

/** What the workloads of the benchmark are in the words of the documents, the ones that matter most first. */
const ROWS: ReadonlyArray<readonly [id: string, words: string]> = [
  ['C', 'chat at 20 000 deliveries a second, 100 rooms of 50, messages acked'],
  ['W1', 'one event to 1 000 members'],
  ['W4', 'one event to 10 000 members'],
  ['W5', '10 000 clients in 20 of 10 000 rooms each'],
  ['W2', 'bursts of 20 to 1 000'],
  ['W3', 'the chat saturated: each speaks again when it is acked'],
  ['E', 'echo: one message in, one event and one ack out'],
  ['E-plain', 'echo without ids and acks'],
  ['L10', '400 events a second to each of 100, `flush: 10`'],
  ['Z', 'compressed events of 760 bytes'],
  ['TLS', 'one event to 1 000 members over wss'],
  ['SSE', 'one event to 1 000 streams'],
  ['POLL', 'one event to a long poll'],
  ['S', 'an upgrade with a JWT of its own, by upgrades a second'],
  ['S-cold', 'the same in a process that has just started'],
  ['RESUME', 'a client that comes back and has missed 10 events'],
  ['CHURN', 'a room joined and left, with presence'],
  ['START', 'from the start of the process to the first connection'],
  ['M', 'memory of an idle connection'],
  ['M-room', 'memory of a room with one member'],
  ['IDLE', 'CPU of a connection that does nothing'],
  ['IDLE-poll', 'CPU of a long poll without news'],
  ['CLIENT', 'CPU of the client library']
]

const COLUMNS: ReadonlyArray<readonly [column: string, head: string]> = [
  ['socket.io / ours', 'socket.io 4.8 costs, default engine'],
  ['socket.io on uWS / ours', 'socket.io 4.8 costs, on uWebSockets.js'],
  ['ours / uWS', 'we cost, of uWebSockets.js (C++)'],
  ['ours / hand loop', 'we cost, of a loop by hand']
]

const DIGITS = 3

/**
 * A table of what others cost beside us, from the written results: of each workload that is in them a row, of each
 * comparison a column.
 */
export function besideTable (): string {
  const table = new BenchTable('RESULTS', 'Ratios')
  const columns = COLUMNS.filter(([column]) => table.columns.includes(column))
  const rows = ROWS.filter(([id]) => table.cell(id, '') !== undefined && nameOf(table, id) === id).map(([id, words]) => {
    const cells = columns.map(([column]) => {
      const value = numberOf(table.cell(id, column)!)
      return value === undefined ? '-' : `${rounded(value, DIGITS)} times`
    })
    return [`${words}${delayOf(id)}`, ...cells]
  })
  const head = ['', ...columns.map(([, title]) => title)]
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** The id in the first cell of a row: rows of windows say their p50 behind it. */
function nameOf (table: BenchTable, id: string): string { return table.cell(id, '')!.split(' ')[0]! }

/** Where events wait for a window, half of them arrive after so long. */
function delayOf (id: string): string {
  if (!/^L[1-9]/.test(id)) return ''
  const p50 = numberOf(new BenchTable('RESULTS', id).cell('fastify-realtime', 'p50 ms') ?? '')
  return p50 === undefined ? '' : ` (p50 ${rounded(p50, 2)} ms)`
}
