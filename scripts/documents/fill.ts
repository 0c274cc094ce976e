import { aimsTable } from './aims-table.js'
import { benchFigure } from './bench-figure.js'
import { besideTable } from './beside-table.js'
import { clientTable } from './client-table.js'
import { exampleLines } from './example-lines.js'
import { messageList } from './messages.js'
import { metricsTable } from './metrics-table.js'
import { promises } from './promises.js'
import { sizesTable } from './sizes-table.js'

const TABLES: Readonly<Record<string, () => string>> = {
  metrics: metricsTable,
  beside: besideTable,
  aims: aimsTable,
  promises,
  'lines of the examples': exampleLines,
  'options of connect': () => clientTable('BaseOptions', 'ConnectOptions'),
  'options of join': () => clientTable('JoinOptions'),
  'options of send': () => clientTable('SendOptions'),
  'options of the core': () => sizesTable('Added to the core'),
  hooks: () => sizesTable('Added to the client'),
  'without a bundler': () => sizesTable('Without a bundler'),
  'files of the core': () => sizesTable('Files of the core')
}

/**
 * Writes into a document what is known elsewhere: between `<!-- figure: name -->` and `<!-- end -->` a number of a
 * benchmark, between `<!-- table: metrics -->` and `<!-- end -->` a row for each metric, and below `table: beside` one
 * for each workload that the benchmark has compared. The options of the client are those of lib/client/types.ts, the
 * promises those of docs/explain/promises.md, `table: messages of CODE` lists what the errors of a code say, the lines
 * of the examples are counted, and the other tables are those of bench/SIZES.md.
 *
 * @returns the document; where nothing is out of date, the same text
 * @throws an error that names the place of which nothing is known
 */
export function fill (text: string): string {
  return text
    .replace(/(<!-- figure: (.+?) -->)[^\n]*?(<!-- end -->)/g, (_, start: string, name: string, end: string) =>
      `${start}${benchFigure(name)}${end}`)
    .replace(/(<!-- table: (.+?) -->\n)[^]*?(\n<!-- end -->)/g, (_, start: string, name: string, end: string) => {
      const code = /^messages of (\w+)$/.exec(name)?.[1]
      const table = code === undefined ? TABLES[name] : () => messageList(code)
      if (table === undefined) throw new Error(`table "${name}": there are ${Object.keys(TABLES).join(' and ')} only`)
      return `${start}\n${table()}\n${end}`
    })
}
