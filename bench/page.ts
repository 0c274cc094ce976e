import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { requireCleanTree } from './clean.js'

const isWritten = process.argv.includes('--write')
// At once: nobody wants to hear of it after the measurement.
if (isWritten) requireCleanTree()

/** Shows what was measured; with `--write` it takes the place of what stands in the file. */
export function show (file: string, text: string): void {
  process.stdout.write(text)
  if (isWritten) writeFileSync(fileURLToPath(new URL(file, import.meta.url)), text)
}
