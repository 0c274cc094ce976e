import { BenchTable, numberOf, rounded } from './bench-table.js'

/**
 * A number out of the written results of a benchmark.
 *
 * @param name `file; heading; row; column; digits`: a table below the heading of `bench/<file>.md`, the beginning of
 *   the row's first cell (`a over b` for the ratio of two rows), the head of the column, and the significant digits
 * @throws an error that names what is not there
 */
export function benchFigure (name: string): string {
  const [file, heading, row, column, digits] = name.split(';').map((part) => part.trim())
  const table = new BenchTable(file!, heading!)
  const valueOf = (title: string): number => {
    const cell = table.cell(title, column!)
    if (cell === undefined) {
      throw new Error(`figure "${name}": no row "${title}", or no column "${column!}" in ${table.columns.join(', ')}`)
    }
    const value = numberOf(cell)
    if (value === undefined) throw new Error(`figure "${name}": "${cell}" is no number`)
    return value
  }
  const [over, under] = row!.split(' over ') as [string, string?]
  return rounded(valueOf(over) / (under === undefined ? 1 : valueOf(under)), Number(digits))
}
