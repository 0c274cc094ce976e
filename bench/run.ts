import { mkdirSync, writeFileSync } from 'node:fs'
import { buildChildren } from './build.js'
import { makeCertificate } from './certificate.js'
import { requireCleanTree } from './clean.js'
import { Company } from './company.js'
import { assignCores } from './cores.js'
import { readOptions, USAGE, type Options } from './options.js'
import { Run } from './runner.js'
import { TIMES } from './workloads/times.js'

async function main (options: Options): Promise<void> {
  const cores = assignCores()
  const scripts = await buildChildren()
  if (options.profiles !== undefined) mkdirSync(options.profiles, { recursive: true })
  const common = { times: TIMES[options.mode], certificate: await makeCertificate() }
  const run = new Run(options, common, (peer) => new Company(peer, cores, scripts))
  if (cores.server === undefined) {
    run.note('servers and load generator are not pinned to cores of their own: one core, or no taskset')
  }
  await (options.mode === 'smoke' ? run.smoke() : run.all())
  const text = run.report()
  process.stdout.write(text)
  if (options.isWritten) writeFileSync(new URL('RESULTS.md', import.meta.url), text)
  process.exit(run.results.failures.size === 0 ? 0 : 1)
}

let options: Options | undefined
try {
  options = readOptions(process.argv.slice(2))
  if (options?.isWritten === true) requireCleanTree()
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n\n${USAGE}\n`)
  process.exit(2)
}
if (options === undefined) process.stdout.write(`${USAGE}\n`)
else await main(options)
