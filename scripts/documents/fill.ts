import { benchFigure } from './bench-figure.js'
import { metricsTable } from './metrics-table.js'

/**
 * Writes into a document what is known elsewhere: between `<!-- figure: name -->` and `<!-- end -->` a number of a
 * benchmark, between `<!-- table: metrics -->` and `<!-- end -->` a row for each metric.
 *
 * @returns the document; where nothing is out of date, the same text
 * @throws an error that names the place of which nothing is known
 */
export function fill (text: string): string {
  return text
    .replace(/(<!-- figure: (.+?) -->)[^\n]*?(<!-- end -->)/g, (_, start: string, name: string, end: string) =>
      `${start}${benchFigure(name)}${end}`)
    .replace(/(<!-- table: (.+?) -->\n)[^]*?(\n<!-- end -->)/g, (_, start: string, name: string, end: string) => {
      if (name !== 'metrics') throw new Error(`table "${name}": there is "metrics" only`)
      return `${start}\n${metricsTable()}\n${end}`
    })
}
