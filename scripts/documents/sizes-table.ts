import { readFileSync } from 'node:fs'

/** The table below a heading of bench/SIZES.md. @throws an error where there is none */
export function sizesTable (heading: string): string {
  const text = readFileSync(new URL('../../bench/SIZES.md', import.meta.url), 'utf8')
  const section = text.split(/^## /m).find((each) => each.startsWith(heading))
  if (section === undefined) throw new Error(`bench/SIZES.md has no "${heading}"`)
  return section.split('\n').filter((line) => line.startsWith('|')).join('\n')
}
