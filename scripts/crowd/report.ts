import { loadavg } from 'node:os'
import { describeMachine } from '../../bench/machine.js'
import { table } from '../../bench/table.js'
import type { PageCost } from './look.js'
import type { Answer } from './measure.js'
import type { Usage } from './node.js'

export interface Found {
  readonly connections: number
  /** Seconds in which they came. */
  readonly filled: number
  readonly answers: readonly Answer[]
  /** Milliseconds until the page showed what was asked for. */
  readonly shown: ReadonlyArray<readonly [what: string, ms: number]>
  /** What the nodes used while the dashboard was closed, and while it showed its list of connections. */
  readonly closed: readonly Usage[]
  readonly open: readonly Usage[]
  readonly page: PageCost | undefined
}

const MIB = 1_048_576
const one = (n: number): string => n.toFixed(1)

function usageRow (name: string, used: readonly Usage[]): string[] {
  const percent = used.map(({ cpu, wall }) => one(cpu / wall * 100))
  const longest = used.map((of) => one(of.longest))
  return [name, percent.join(', '), longest.join(', '), used.map(({ memory }) => one(memory / MIB)).join(', ')]
}

/** Writes what was found, in Markdown. */
export function report ({ connections, filled, answers, shown, closed, open, page }: Found): string {
  const answered = answers.map(({ name, median, longest, bytes, cpu }) =>
    [name, one(median), one(longest), String(bytes), one(cpu)])
  const seen = shown.map(([what, ms]) => [what, String(Math.round(ms))])
  return `# The dashboard beside ${connections.toLocaleString('en')} connections

Three nodes with one Redis behind HAProxy, ${connections.toLocaleString('en')} raw WebSockets in a thousand rooms with presence, a hall
and a lobby, some of which speak, all of it on one machine with its load generators. They came in ${Math.round(filled)} s. Made with
\`npm run crowd -- ${connections} --write\`.

${describeMachine().join('  \n')}  
Load average over five minutes, with all that ran beside: ${one(loadavg()[1]!)}

## Answers

Answers through HAProxy, as the page asks for them; milliseconds. The CPU is that of one node, above what it uses anyway.

${table(['answer', 'median', 'longest', 'bytes', 'CPU'], answered)}

## In the browser

Until the page shows it, in Chromium; milliseconds.

${table(['what', 'ms'], seen)}

## The nodes

The nodes, each. The event loop's delay holds what the machine does beside.

${table(['dashboard', '% of a core', 'event loop late at most, ms', 'resident MiB'], [usageRow('closed', closed), usageRow('open, list of connections', open)])}
${page === undefined
  ? ''
  : `
The page on its overview: ${one(page.heap / MIB)} MiB of heap, ${page.elements} elements, ${one(page.work)} ms of scripts, styles and layout in a
second; its frames took ${one(page.median)} ms (median), ${one(page.p99)} ms (p99), ${one(page.longest)} ms (longest).
`}`
}
