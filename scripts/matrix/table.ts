import { VERSION } from '../../lib/version.js'

export interface Row {
  /** what the package was tried with */
  readonly what: string
  /** the version that was installed, or asked for where it could not be had */
  readonly version: string
  /** what ran */
  readonly ran: string
  /** `passes`, `FAILED: ...`, or `not to be had: ...` */
  readonly result: string
}

/** A cell has no line break, and no bar that would end it. */
function cell (text: string): string {
  return text.replace(/\s+/g, ' ').replaceAll('|', '\\|').slice(0, 300)
}

/** Whatever was thrown, as a result. */
export function failed (error: unknown): string {
  return `FAILED: ${error instanceof Error ? error.message : String(error)}`
}

/** What could not be installed or found, and why. */
export function absent (error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  const reason = /npm error (?:code|notarget|404) .+/.exec(text)?.[0] ?? text
  return `not to be had: ${reason}`
}

/** Of a program's run over each transport. */
export function heardAll (heard: Readonly<Record<string, boolean>>): string {
  const over = Object.values(heard)
  return over.length > 0 && over.every(Boolean) ? 'passes' : `FAILED: ${JSON.stringify(heard)}`
}

/** What a line of the table is about: with what, in which version, what ran. */
function subjectOf (line: string): string {
  return line.split(/(?<!\\)\|/).slice(1, 4).join('|')
}

/** The lines of a table that was written before. */
export function linesOf (text: string): string[] {
  return text.split('\n').filter((line) => /\| \d{4}-\d\d-\d\d \|$/.test(line))
}

/** The lines of a table in which each row stands in place of the line about the same. */
export function merged (before: readonly string[], rows: readonly Row[]): string[] {
  const day = new Date().toISOString().slice(0, 10)
  const lines = new Map(before.map((line) => [subjectOf(line), line]))
  for (const { what, version, ran, result } of rows) {
    const line = `| ${[what, version, ran, result, day].map(cell).join(' | ')} |`
    lines.set(subjectOf(line), line)
  }
  return [...lines.values()]
}

export function markdown (lines: readonly string[]): string {
  return [
    '# What the package works with', '',
    `fastify-realtime ${VERSION}, packed and installed; ${process.platform} ${process.arch}.`,
    'Written by `npm run matrix -- --write`; the tests are those of `test/`, against the installed package.', '',
    '| with | version | what ran | result | day |',
    '|---|---|---|---|---|',
    ...lines, ''
  ].join('\n')
}
