import { readdirSync } from 'node:fs'

const TEST = new URL('../', import.meta.url)

/**
 * Runs the test files of folders in this process, one after another. A process of its own costs a second of CPU, mostly
 * for loading the runner and the library, where most of these files need a tenth of it. Each still runs alone too.
 *
 * @param folders below `test`
 */
export async function runTogether (...folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    const files = readdirSync(new URL(folder, TEST)).filter((name) => name.endsWith('.test.ts')).sort()
    if (files.length === 0) throw new Error(`no tests in test/${folder}`)
    for (const file of files) await import(new URL(`${folder}/${file}`, TEST).href)
  }
}
