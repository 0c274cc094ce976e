import { spawn } from 'node:child_process'

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  /** both streams, as they came */
  readonly output: string
}

export interface RunOptions {
  readonly cwd: string
  /** in place of this process's own */
  readonly env?: NodeJS.ProcessEnv
  /** milliseconds until it is ended, and `code` is null; 120 000 unless said otherwise */
  readonly deadline?: number
}

/** The runner's own variables would make a child report to tap in place of its parent. */
export function plainEnv (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const isOfRunner = /^(TAP|NODE_OPTIONS|NODE_V8_COVERAGE|_TAPJS|npm_)/
  const kept = Object.entries(process.env).filter(([name]) => !isOfRunner.test(name))
  return { ...Object.fromEntries(kept), ...more }
}

/**
 * Runs a program to its end, and whatever it has started with it.
 *
 * @throws Error when the program is not there
 */
export async function run (
  command: string, args: readonly string[], { cwd, env = plainEnv(), deadline = 120_000 }: RunOptions
): Promise<Ran> {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let stdout = ''
  let output = ''
  child.stdout.on('data', (chunk) => {
    stdout += String(chunk)
    output += String(chunk)
  })
  child.stderr.on('data', (chunk) => { output += String(chunk) })
  const timer = setTimeout(() => { process.kill(-child.pid!, 'SIGKILL') }, deadline)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve)
    child.once('error', reject)
  })
  clearTimeout(timer)
  return { code, stdout, output }
}

/** @throws Error with the end of what it printed, when it ends with anything but 0 */
export async function runWell (command: string, args: readonly string[], options: RunOptions): Promise<Ran> {
  const ran = await run(command, args, options)
  if (ran.code === 0) return ran
  const end = ran.code ?? 'no code in time'
  throw new Error(`${command} ${args.join(' ')} ended with ${end}: ${ran.output.trim().slice(-1_500)}`)
}
