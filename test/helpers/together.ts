import { existsSync, readdirSync } from 'node:fs'

const TEST = new URL('../', import.meta.url)

function filesOf (name: string): string[] {
  const file = `${name}.test.ts`
  if (existsSync(new URL(file, TEST))) return [file]
  const files = readdirSync(new URL(name, TEST)).filter((inside) => inside.endsWith('.test.ts')).sort()
  if (files.length === 0) throw new Error(`no tests in test/${name}`)
  return files.map((inside) => `${name}/${inside}`)
}

/**
 * Runs test files in this process, one after another. A process of its own costs a second of CPU, mostly for loading
 * the runner and the library, where most of these files need a tenth of it. Each still runs alone too.
 *
 * @param names folders below `test`, or files there without `.test.ts`
 */
export async function runTogether (...names: readonly string[]): Promise<void> {
  for (const file of names.flatMap(filesOf)) await import(new URL(file, TEST).href)
}
