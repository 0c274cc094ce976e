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

export function markdown (rows: readonly Row[]): string {
  const cells = rows.map(({ what, version, ran, result }) => [what, version, ran, result].map(cell))
  const day = new Date().toISOString().slice(0, 10)
  return [
    '# What the package works with', '',
    `fastify-realtime ${VERSION}, packed and installed; ${day}, ${process.platform} ${process.arch}.`,
    'Written by `npm run matrix -- --write`; the tests are those of `test/`, against the installed package.', '',
    '| with | version | what ran | result |',
    '|---|---|---|---|',
    ...cells.map((each) => `| ${each.join(' | ')} |`), ''
  ].join('\n')
}
