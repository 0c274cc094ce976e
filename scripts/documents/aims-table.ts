import { BenchTable, numberOf, rounded } from './bench-table.js'

/** A figure in a written report: the heading, the row and the column of its table. */
type Place = readonly [file: string, heading: string, row: string, column: string]

interface Aim {
  readonly what: string
  readonly place: Place
  readonly aim: number
  /** Whether more of it is better. */
  readonly isMore?: boolean
  readonly unit?: string
}

const OURS = 'fastify-realtime'
/** A ratio of the same repetition, which says more than microseconds of another machine. */
const ratio = (id: string, column: string): Place => ['RESULTS', 'Ratios', id, column]
const LOOP = 'ours / hand loop'
const UWS = 'socket.io on uWS / ours'

const AIMS: readonly Aim[] = [
  { what: 'echo with id and ack, over the loop by hand', place: ratio('E', LOOP), aim: 1.26, unit: 'times' },
  { what: 'the same, p99', place: ['RESULTS', 'E', OURS, 'p99 ms'], aim: 5, unit: 'ms' },
  { what: 'echo without id, over the loop by hand', place: ratio('E-plain', LOOP), aim: 1.05, unit: 'times' },
  { what: 'an event to a long poll, over polls on Fastify by hand', place: ratio('POLL', LOOP), aim: 1.07, unit: 'times' },
  { what: 'an event to a stream, over the loop by hand', place: ratio('SSE', LOOP), aim: 0.95, unit: 'times' },
  { what: 'the first 5 000 upgrades, over the loop by hand', place: ratio('S-cold', LOOP), aim: 1, unit: 'times' },
  { what: 'socket.io on uWebSockets.js over ours, W1', place: ratio('W1', UWS), aim: 0.97, isMore: true, unit: 'times' },
  { what: 'the same, W3', place: ratio('W3', UWS), aim: 1.01, isMore: true, unit: 'times' },
  { what: 'memory of an event that is kept, over its payload', place: ['RESULTS', 'M-event', OURS, 'RSS over the payload'], aim: 1.4, unit: 'times' },
  { what: 'start to the first connection, over @fastify/websocket', place: ratio('START', LOOP), aim: 1.07, unit: 'times' },
  { what: 'CPU of idle connections, over the loop by hand', place: ratio('IDLE', LOOP), aim: 1.6, unit: 'times' },
  { what: 'the same with long polls', place: ratio('IDLE-poll', LOOP), aim: 1.6, unit: 'times' },
  { what: 'W5 for 60 s past the budget of history, p99.9', place: ['RESULTS', 'W5-long', OURS, 'p99.9 ms'], aim: 30, unit: 'ms' },
  { what: 'heap from the third of ten minutes on, growth in a minute', place: ['STEADY', 'Heap', 'growth', '% a minute'], aim: 0.5, unit: '%' }
]

const DIGITS = 3
const NOT_RUN = 'not in the last written run'

function valueOf ([file, heading, row, column]: Place): number | undefined {
  try {
    // A heading that only begins alike is another workload's.
    const table = new BenchTable(file, heading)
    const cell = table.cell(row, column)
    const first = table.cell(row, '')?.split(' ')[0]
    return cell === undefined || (heading === 'Ratios' && first !== row) ? undefined : numberOf(cell)
  } catch {
    return undefined
  }
}

/** What the written reports say of each aim. */
export function aimsTable (): string {
  const rows = AIMS.map(({ what, place, aim, isMore = false, unit = '' }) => {
    const [file, heading, row] = place
    const value = valueOf(place)
    const isMet = value !== undefined && (isMore ? value >= aim : value <= aim)
    return [
      what,
      `[${file}.md](${file}.md), ${heading === 'Ratios' ? row : heading}`,
      `at ${isMore ? 'least' : 'most'} ${aim} ${unit}`,
      value === undefined ? NOT_RUN : `${rounded(value, DIGITS)} ${unit}`,
      value === undefined ? '' : isMet ? 'met' : 'missed'
    ]
  })
  const head = ['what', 'measured in', 'aim', 'figure', '']
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}
