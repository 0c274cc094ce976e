/**
 * What the cores of one machine come to: one process with the memory adapter, and workers of `node:cluster` beside
 * their primary, with `cluster()`. The loads are W1 and W3 of the benchmark; the CPU is that of all processes of the
 * server together. Nothing is pinned, so the load generators take their part of the same cores.
 *
 * `npm run bench:workers -- [workers, as 1,2] [repetitions] [--quick] [--write]`
 */
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { buildChildren } from './build.js'
import { measure } from './cell.js'
import { makeCertificate } from './certificate.js'
import { requireCleanTree } from './clean.js'
import { Company } from './company.js'
import { describeMachine } from './machine.js'
import { PEERS, type Peer } from './peers.js'
import { range, table } from './table.js'
import { spread, type Metric, type Sample } from './sample.js'
import { workloads } from './workloads/list.js'
import { TIMES } from './workloads/times.js'
import type { Workload } from './workloads/types.js'

const LOADS = ['W1', 'W3']
const REPETITIONS = 3

const [ours] = PEERS as readonly [Peer]
const WORKERS: Peer = { id: 'workers', title: 'workers', dialect: ours.dialect }

/** `undefined`: one process, and no workers. */
type Count = number | undefined

const say = (line: string): void => { process.stderr.write(`${line}\n`) }
const titleOf = (count: Count): string => count === undefined
  ? 'one process, memory()'
  : `${count} ${count === 1 ? 'worker' : 'workers'} and the primary`

async function main (args: readonly string[]): Promise<void> {
  if (args.includes('--write')) requireCleanTree()
  const [counts, repetitions = String(REPETITIONS)] = args.filter((arg) => !arg.startsWith('--'))
  const mode = args.includes('--quick') ? 'quick' : 'full'
  const asked: Count[] = [undefined, ...(counts?.split(',').map(Number) ?? [1, 2, availableParallelism()])]
  const all = [...new Set(asked)]
  const loads = workloads(mode).filter(({ id }) => LOADS.includes(id))
  const samples = new Map<string, Sample[]>()
  const scripts = await buildChildren()
  const certificate = await makeCertificate()
  for (let repetition = 1; repetition <= Number(repetitions); repetition++) {
    for (const workload of loads) {
      for (const count of all) {
        process.env.BENCH_WORKERS = String(count ?? 0)
        const company = new Company(
          count === undefined ? ours : WORKERS,
          { server: undefined, load: [undefined] },
          scripts
        )
        const sample = await measure({ workload, company, times: TIMES[mode], certificate, profile: undefined })
          .finally(async () => { await company.end() })
        const name = `${workload.id} ${titleOf(count)}`
        samples.set(name, [...samples.get(name) ?? [], sample])
        const { perSecond = 0, cpu = 0 } = sample
        say(`${repetition}/${repetitions} ${name}: ${Math.round(perSecond)} deliveries/s, ${cpu.toFixed(2)} µs each`)
      }
    }
  }
  const text = report(loads, all, samples)
  process.stdout.write(text)
  if (args.includes('--write')) writeFileSync(new URL('WORKERS.md', import.meta.url), text)
}

function report (
  loads: readonly Workload[],
  all: readonly Count[],
  samples: ReadonlyMap<string, readonly Sample[]>
): string {
  const parts = loads.map(({ id, title }) => {
    const rows = all.map((count) => {
      const own = samples.get(`${id} ${titleOf(count)}`)!
      const of = (metric: Metric): string => range(spread(own.map((sample) => sample[metric])))
      return [titleOf(count), of('perSecond'), of('cpu'), count === undefined ? '-' : of('own'), of('p50'), of('p99')]
    })
    const head = ['', 'deliveries/s', 'CPU, µs', 'of it the primary', 'p50, ms', 'p99, ms']
    return `## ${id}: ${title}\n\n${table(head, rows)}\n`
  })
  return `# Workers of one machine

${describeMachine().join('\n')}

Saturated, by \`npm run bench:workers\`: the next events are sent when all members have the last ones (W1), or each speaker has
its ack (W3). CPU is that of all processes of the server for one delivered event. The load generator has its part of the same
cores: on a machine of two it takes most of one, and a second worker has little left to gain.

${parts.join('\n')}`
}

await main(process.argv.slice(2))
process.exit()
