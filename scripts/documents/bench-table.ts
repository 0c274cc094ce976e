import { readFileSync } from 'node:fs'

const BENCH = new URL('../../bench/', import.meta.url)

function cellsOf (row: string): string[] { return row.split('|').slice(1, -1).map((cell) => cell.trim()) }

/** What begins with a word: at best as a whole word, so that `S` is not `SSE`. */
function beginning (texts: readonly string[], word: string): number {
  const whole = texts.findIndex((text) => text.startsWith(word) && /^($|[:,\n]| \()/.test(text.slice(word.length)))
  return whole === -1 ? texts.findIndex((text) => text.startsWith(word)) : whole
}

/** A table out of the written results of a benchmark. */
export class BenchTable {
  readonly columns: readonly string[]
  readonly #rows: ReadonlyArray<readonly string[]>

  /** @throws Error where there is no such heading in `bench/<file>.md` */
  constructor (file: string, heading: string) {
    const sections = readFileSync(new URL(`${file}.md`, BENCH), 'utf8').split(/^#+ /m)
    const section = sections[beginning(sections, heading)]
    if (section === undefined) throw new Error(`no heading "${heading}" in ${file}.md`)
    const [head = [], , ...rows] = section.split('\n').filter((line) => line.startsWith('|')).map(cellsOf)
    this.columns = head
    this.#rows = rows
  }

  /** @returns the cell, or nothing where there is no row that begins with the word, or no such column */
  cell (row: string, column: string): string | undefined {
    return this.#rows[beginning(this.#rows.map(([title]) => title!), row)]?.[this.columns.indexOf(column)]
  }
}

/** The number that a cell begins with: `1.80 (1.70 to 1.91)`, `273 199 (...)`, `80 %`, `< 5`, `5.0 KiB`. */
export function numberOf (cell: string): number | undefined {
  const digits = /^[<>~]? ?(\d[\d \u00a0]*(?:\.\d+)?)/.exec(cell)?.[1]
  return digits === undefined ? undefined : Number(digits.replaceAll(/[ \u00a0]/g, ''))
}

/** A number as prose writes it, rounded to so many significant digits: 4468396 with 2 is `4 500 000`. */
export function rounded (value: number, digits: number): string {
  const [whole, fraction] = Number(value.toPrecision(digits)).toString().split('.') as [string, string?]
  const places = Math.max(0, digits - whole.replace(/^0$/, '').length)
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ' ')
  return places === 0 ? grouped : `${grouped}.${(fraction ?? '').padEnd(places, '0')}`
}
