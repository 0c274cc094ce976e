/**
 * Compiles every project of the repository and runs the linter, as many at a time as the machine has cores. All of them
 * run, whatever one finds; the exit code is 1 when one has found something. With `--runner` it builds the test runner
 * meanwhile, because the linter leaves a core to others.
 */
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PROJECTS = ['.', 'example', 'example/support', 'example/react', 'example/ai-sdk', 'example/vue', 'bench', 'lib/stats/dashboard/page']
/** The linter first, because it takes longest. Linter and tests need the API of TypeScript 6; 7 is ten times faster. */
const CHECKS = [
  ['node_modules/eslint/bin/eslint.js', '.'],
  ...PROJECTS.map((project) => ['node_modules/typescript-7/bin/tsc', '-p', project])
]
const RUNNER = ['node_modules/tap/dist/esm/run.mjs', 'build']

/** @returns whether nothing was found */
async function passes (command) {
  const child = spawn(process.execPath, command, { cwd: ROOT })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => { said += text })
  const code = await new Promise((resolve) => { child.once('close', resolve) })
  if (code !== 0 || (said !== '' && command !== RUNNER)) console.error(`${command.join(' ')}\n${said}`)
  return code === 0
}

async function passAll (waiting) {
  let isFine = true
  for (let command = waiting.shift(); command !== undefined; command = waiting.shift()) {
    isFine = await passes(command) && isFine
  }
  return isFine
}

const waiting = [...CHECKS, ...process.argv.includes('--runner') ? [RUNNER] : []]
const results = await Promise.all(Array.from({ length: availableParallelism() }, async () => await passAll(waiting)))
if (results.includes(false)) process.exitCode = 1
