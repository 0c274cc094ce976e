import { describeMachine } from '../machine.js'
import { figure, table } from '../table.js'
import type { Stretch } from './measure.js'

/** What is aimed at. */
const AIMS = { p999: 30, growth: 0.005 }
/** Seconds after which all that is kept for a time has been let go once: ids of messages are kept for two minutes. */
const FULL = 150

const mebibytes = (bytes: number): string => figure(bytes / 2 ** 20)
const percent = (share: number): string => `${Math.round(share * 100)} %`
const perhaps = (value: number | undefined, format: (value: number) => string = figure): string =>
  value === undefined ? '-' : format(value)

function rowsOf (stretches: readonly Stretch[]): string {
  const head = ['s', 'deliveries/s', 'of a core', 'p50 ms', 'p99 ms', 'p99.9 ms', 'heap and buffers MiB', 'RSS MiB', 'load', 'others']
  return table(head, stretches.map(({ at, perSecond, core, p50, p99, p999, heap, rss, busy, others }) => [
    String(at), figure(perSecond), percent(core), perhaps(p50), perhaps(p99), perhaps(p999), mebibytes(heap),
    mebibytes(rss), percent(busy), perhaps(others, percent)
  ]))
}

/** Bytes that the heap grows by in a minute: the slope of the line with the least squares. */
export function growthOf (stretches: ReadonlyArray<Pick<Stretch, 'at' | 'heap'>>): number | undefined {
  if (stretches.length < 2) return undefined
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
  const [at, heap] = [mean(stretches.map((each) => each.at)), mean(stretches.map((each) => each.heap))]
  const spread = stretches.reduce((sum, each) => sum + (each.at - at) ** 2, 0)
  return stretches.reduce((sum, each) => sum + (each.at - at) * (each.heap - heap), 0) / spread * 60
}

function heapVerdict (stretches: readonly Stretch[]): string {
  const full = stretches.filter(({ at }) => at >= FULL)
  const growth = growthOf(full)
  if (growth === undefined) return `Too short to say whether the heap is flat: it fills for ${FULL} s.`
  const heaps = full.map(({ heap }) => heap)
  const [least, most] = [Math.min(...heaps), Math.max(...heaps)]
  const share = Math.max(0, growth / least)
  const head = ['', 'least MiB', 'most MiB', 'KiB a minute', '% a minute']
  const row = ['growth', mebibytes(least), mebibytes(most), figure(growth / 1_024), (100 * share).toFixed(3)]
  return `From ${FULL} s on, when ids of messages and history are at their bounds; the growth is that of the line of least squares.\n\n` +
    `${table(head, [row])}\n\n` +
    `The heap is ${share <= AIMS.growth ? 'flat' : 'not flat'} (aim: at most ${figure(AIMS.growth * 100)} % a minute).`
}

function tailVerdict (stretches: readonly Stretch[]): string {
  const worst = Math.max(...stretches.map(({ p999 }) => p999 ?? Number.NaN))
  return `p99.9 ${figure(worst)} ms: ${worst < AIMS.p999 ? 'met' : 'missed'} (aim: below ${AIMS.p999} ms).`
}

export interface Steady {
  readonly chat: { readonly title: string, readonly stretches: readonly Stretch[] }
  readonly tail: { readonly title: string, readonly stretches: readonly Stretch[] }
}

export function report ({ chat, tail }: Steady): string {
  return `# A long run

${describeMachine().join('  \n')}

By \`npm run bench:steady\`: fastify-realtime alone, with its defaults. After each stretch the load rests until garbage is
collected. Heap and buffers are what is left then, RSS is that of the end of the stretch.

## ${chat.title}

${rowsOf(chat.stretches)}

## Heap

${heapVerdict(chat.stretches)}

## ${tail.title}

${rowsOf(tail.stretches)}

${tailVerdict(tail.stretches)}
`
}
