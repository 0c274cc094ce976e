import { readFileSync } from 'node:fs'

const BENCH = new URL('../../bench/', import.meta.url)

function cellsOf (row: string): string[] { return row.split('|').slice(1, -1).map((cell) => cell.trim()) }

/** The number that a cell begins with: `1.80 (1.70 to 1.91)`, `273 199 (...)`, `80 %`, `< 5`, `5.0 KiB`. */
function numberOf (cell: string): number | undefined {
  const digits = /^[<>~]? ?(\d[\d \u00a0]*(?:\.\d+)?)/.exec(cell)?.[1]
  return digits === undefined ? undefined : Number(digits.replaceAll(/[ \u00a0]/g, ''))
}

/** A number as prose writes it, rounded to so many significant digits: 4468396 with 2 is `4 500 000`. */
function rounded (value: number, digits: number): string {
  const [whole, fraction] = Number(value.toPrecision(digits)).toString().split('.') as [string, string?]
  const places = Math.max(0, digits - whole.replace(/^0$/, '').length)
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ' ')
  return places === 0 ? grouped : `${grouped}.${(fraction ?? '').padEnd(places, '0')}`
}

/**
 * A number out of the written results of a benchmark.
 *
 * @param name `file; heading; row; column; digits`: a table below the heading of `bench/<file>.md`, the beginning of
 *   the row's first cell (`a over b` for the ratio of two rows), the head of the column, and the significant digits
 * @throws an error that names what is not there
 */
export function benchFigure (name: string): string {
  const [file, heading, row, column, digits] = name.split(';').map((part) => part.trim())
  const fail = (what: string): never => { throw new Error(`figure "${name}": ${what}`) }
  const sections = readFileSync(new URL(`${file!}.md`, BENCH), 'utf8').split(/^#+ /m)
  const section = sections.find((text) => text.startsWith(heading!)) ?? fail(`no heading "${heading!}"`)
  const table = section.split('\n').filter((line) => line.startsWith('|'))
  const at = cellsOf(table[0] ?? '').indexOf(column!)
  if (at === -1) fail(`no column "${column!}" in ${cellsOf(table[0] ?? '').join(', ')}`)
  const valueOf = (name: string): number => {
    const line = table.find((each) => cellsOf(each)[0]!.startsWith(name)) ?? fail(`no row "${name}"`)
    return numberOf(cellsOf(line)[at]!) ?? fail(`"${cellsOf(line)[at]!}" is no number`)
  }
  const [over, under] = row!.split(' over ') as [string, string?]
  return rounded(valueOf(over) / (under === undefined ? 1 : valueOf(under)), Number(digits))
}
