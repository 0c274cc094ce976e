import type { Spread } from './sample.js'

/** A Markdown table, padded so that it can be read as it is printed. */
export function table (head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const widths = head.map((title, column) => Math.max(title.length, 3, ...rows.map((row) => row[column]!.length)))
  const line =
    (cells: readonly string[]): string => `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  return [line(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(line)].join('\n')
}

/** Three figures that count, no more. */
export function figure (value: number): string {
  const size = Math.abs(value)
  if (size >= 1_000) return Math.round(value).toLocaleString('en-US').replaceAll(',', ' ')
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3)
}

/** Median, and the smallest and largest where there are several. */
export function range (spread: Spread | undefined, format: (value: number) => string = figure): string {
  if (spread === undefined) return '-'
  const { median, min, max, count } = spread
  return count === 1 || format(min) === format(max)
    ? format(median)
    : `${format(median)} (${format(min)} to ${format(max)})`
}
