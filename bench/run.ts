import { mkdirSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { buildChildren } from './build.js'
import { Cell, WARM_UPGRADES } from './cell.js'
import { assignCores } from './cores.js'
import { descriptorLimit } from './machine.js'
import { readOptions, USAGE, type Options } from './options.js'
import { ALL, OURS, PEERS, type Peer } from './peers.js'
import { report } from './report.js'
import { Results } from './results.js'
import { figure } from './table.js'
import { TIMES, workloads, type Workload } from './workloads.js'

/** Descriptors that a process needs besides its connections. */
const SPARE = 100

const say = (line: string): void => { process.stderr.write(`${line}\n`) }

function selected (options: Options): Workload[] {
  const all = workloads(options.mode)
  const unknown = options.only.filter((name) => !all.some(({ id, group }) => id === name || group === name))
  if (unknown.length > 0) throw new Error(`--only: no workload ${unknown.join(', ')}`)
  const known = options.only.length === 0
    ? all
    : all.filter(({ id, group }) => options.only.includes(id) || options.only.includes(group))
  const limit = descriptorLimit()
  return known.filter((workload) => {
    const { clients, drive, id } = workload
    const needed = clients * (drive.kind === 'upgrades' ? 1 + WARM_UPGRADES : 1) +
      (drive.kind === 'idle' ? drive.before : 0) +
      SPARE
    if (needed <= limit) return true
    results.notes.add(`${id} left out: it needs ${needed} open files, the limit is ${limit}; raise it with ulimit -n`)
    return false
  })
}

function selectedPeers ({ peers }: Options): readonly Peer[] {
  const unknown = peers.filter((name) => !ALL.some(({ id }) => id === name))
  if (unknown.length > 0) throw new Error(`--peers: no peer ${unknown.join(', ')}`)
  return peers.length === 0 ? PEERS : ALL.filter(({ id }) => peers.includes(id))
}

/** Peers that answer; the others are named with their reason. */
async function loadable (peers: readonly Peer[], probe: (peer: Peer) => Promise<string>): Promise<Peer[]> {
  const loaded: Peer[] = []
  for (const peer of peers) {
    try {
      results.versions.set(peer.id, await probe(peer))
      loaded.push(peer)
    } catch (error) {
      const reason = (error as Error).message.split('\n')[0]!
      if (peer.id === OURS) throw new Error(`fastify-realtime cannot be loaded (npm run build?): ${reason}`)
      say(`${peer.title} skipped: ${reason}`)
      results.notes.add(`${peer.title} skipped: ${reason}`)
    }
  }
  return loaded
}

const results = new Results()

async function main (options: Options): Promise<void> {
  const cores = assignCores()
  if (cores.server === undefined) {
    results.notes.add('servers and load generator are not pinned to cores of their own: one core, or no taskset')
  }
  const scripts = await buildChildren()
  const chosen = selected(options)
  for (const note of results.notes) say(note)
  if (options.profiles !== undefined) mkdirSync(options.profiles, { recursive: true })
  const cell = (workload: Workload, peer: Peer): Cell => new Cell({
    workload,
    peer,
    cores,
    scripts,
    times: TIMES[options.mode],
    profile: options.profiles === undefined
      ? undefined
      : resolve(options.profiles, `${workload.id}-${peer.id}.cpuprofile`)
  })
  const smallest = workloads('smoke')[0]!
  const peers = await loadable(selectedPeers(options), async (peer) => await cell(smallest, peer).probe())
  for (let repetition = 0; repetition < options.repeat; repetition++) {
    for (const workload of chosen) {
      for (let i = 0; i < peers.length; i++) {
        // Each repetition starts with another peer, so that none always runs first.
        const peer = peers[(i + repetition) % peers.length]!
        if (workload.isOursAlone && peer.id !== OURS) continue
        const label = `${repetition + 1}/${options.repeat} ${workload.id} ${peer.id}`
        try {
          const sample = await cell(workload, peer).run()
          results.add(workload.id, peer.id, repetition, sample)
          say(
            `${label}: ${sample.memory === undefined ? `${figure(sample.cpu!)} µs, ${figure(sample.perSecond!)}/s` : `${figure(sample.memory / 1_024)} KiB`}`
          )
        } catch (error) {
          const reason = (error as Error).message
          say(`${label} failed: ${reason}`)
          results.fail(workload.id, peer.id, reason.split('\n')[0]!)
        }
      }
    }
  }
  const text = report(chosen, results, options)
  process.stdout.write(text)
  if (options.isWritten) writeFileSync(new URL('RESULTS.md', import.meta.url), text)
  process.exit(results.failures.size === 0 ? 0 : 1)
}

let options: Options | undefined
try {
  options = readOptions(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n\n${USAGE}\n`)
  process.exit(2)
}
if (options === undefined) process.stdout.write(`${USAGE}\n`)
else await main(options)
