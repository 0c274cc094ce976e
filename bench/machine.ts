import { execFileSync } from 'node:child_process'
import { cpus, release, totalmem, type } from 'node:os'
import { localChanges } from './clean.js'

function output (command: string, ...args: string[]): string | undefined {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

/** Open files that a child may have. */
export function descriptorLimit (): number {
  const limit = Number(output('sh', '-c', 'ulimit -Hn'))
  return Number.isNaN(limit) ? Number.POSITIVE_INFINITY : limit
}

export function describeMachine (): string[] {
  const commit = output('git', 'rev-parse', '--short', 'HEAD')
  const processors = cpus()
  return [
    `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC, commit ${commit === undefined ? 'unknown' : `${commit}${localChanges().length === 0 ? '' : ' with local changes'}`}`,
    `${processors[0]?.model.trim() ?? 'unknown processor'}, ${processors.length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, ${type()} ${release()}, Node ${process.versions.node}`
  ]
}
