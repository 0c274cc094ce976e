import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Shows what was measured; with `--write` it takes the place of what stands in the file. */
export function show (file: string, text: string): void {
  process.stdout.write(text)
  if (process.argv.includes('--write')) writeFileSync(fileURLToPath(new URL(file, import.meta.url)), text)
}
