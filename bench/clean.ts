import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Paths that a refusal names. */
const SHOWN = 5

/**
 * What differs from the commit, new files included. Reports do not count, so that one can be written after the other.
 *
 * @param root folder of the repository
 * @returns paths from there
 */
export function localChanges (root = ROOT): string[] {
  const question = ['status', '--porcelain', '--untracked-files=all', '--', '.', ':!bench/*.md', ':!bench/*.json']
  const status = execFileSync('git', question, { cwd: root, encoding: 'utf8' })
  return status.split('\n').filter((line) => line !== '').map((line) => line.slice(3))
}

/**
 * Holds that what is measured is what the commit says that a report names.
 *
 * @param root folder of the repository
 * @throws Error that names what has changed
 */
export function requireCleanTree (root = ROOT): void {
  const changes = localChanges(root)
  if (changes.length === 0) return
  const more = changes.length > SHOWN ? ` and ${changes.length - SHOWN} more` : ''
  throw new Error(
    `--write takes a clean commit, so that the report can name what was measured; changed: ${changes.slice(0, SHOWN).join(', ')}${more}`
  )
}
