/**
 * Whether a server stays as it is: the chat at a fixed 20 000 deliveries a second for minutes, with the heap after each
 * of them, and W5 for a minute past the budget of history, with the tail of its latencies.
 *
 * `npm run bench:steady -- [--minutes 10] [--every 60] [--write]`; with `--node "<flags>"` the server is
 * started with these flags of Node, which nothing is written of.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { buildChildren } from './build.js'
import { makeCertificate } from './certificate.js'
import { requireCleanTree } from './clean.js'
import { Company } from './company.js'
import { assignCores } from './cores.js'
import { OURS, PEERS } from './peers.js'
import { Stage } from './stage.js'
import { measureStretches, type Stretch } from './steady/measure.js'
import { report } from './steady/report.js'
import { figure } from './table.js'
import { workloads } from './workloads/list.js'
import { TIMES } from './workloads/times.js'

/** Seconds of W5. */
const TAIL = 60

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    every: { type: 'string', default: '60' },
    node: { type: 'string', default: '' },
    write: { type: 'boolean', default: false }
  }
})
const flags = values.node.split(' ').filter((flag) => flag !== '')
if (values.write && flags.length > 0) throw new Error('--write is for a server without flags: leave --node out')
if (values.write) requireCleanTree()
const seconds = Number(values.minutes) * 60
const every = Number(values.every)
if (!(seconds > 0 && every > 0)) throw new Error('--minutes and --every take numbers above 0')

const say = (line: string): void => { process.stderr.write(`${line}\n`) }
const cores = assignCores()
const scripts = await buildChildren()
const certificate = await makeCertificate()

async function run (id: string, lasting: number): Promise<{ title: string, stretches: readonly Stretch[] }> {
  const workload = workloads('full').find((each) => each.id === id)!
  const company = new Company(PEERS.find((peer) => peer.id === OURS)!, cores, scripts, flags)
  const stage = new Stage({ workload, company, times: TIMES.full, certificate, profile: undefined })
  try {
    const stretches = await stage.within(async () => {
      await stage.start()
      return await measureStretches(stage, lasting, every, ({ at, perSecond, p99, p999, heap, rss }) => {
        say(`${id} ${at} s: ${figure(perSecond)} deliveries/s, p99 ${figure(p99 ?? Number.NaN)} ms, ` +
          `p99.9 ${figure(p999 ?? Number.NaN)} ms, heap ${figure(heap / 2 ** 20)} MiB, RSS ${figure(rss / 2 ** 20)} MiB`)
      })
    })
    return { title: `${id}: ${workload.title}`, stretches }
  } finally {
    await company.end()
  }
}

const chat = await run('C', seconds)
const tail = await run('W5-long', Math.min(TAIL, seconds))
const text = report({ chat, tail })
process.stdout.write(text)
if (values.write) writeFileSync(new URL('STEADY.md', import.meta.url), text)
process.exit()
