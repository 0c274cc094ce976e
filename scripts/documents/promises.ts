import { readFileSync } from 'node:fs'

/** The numbered list of docs/explain/promises.md, which is its only source. */
export function promises (): string {
  const page = readFileSync(new URL('../../docs/explain/promises.md', import.meta.url), 'utf8')
  return page.split('\n').filter((line) => /^\d+\. /.test(line)).join('\n')
}
