import { writeFileSync } from 'node:fs'
import { Broker } from './adapters/broker.js'
import { AdapterCell, type CellResult } from './adapters/cell.js'
import { readOptions, USAGE, type Options } from './adapters/options.js'
import { ADAPTER_PEERS } from './adapters/peers.js'
import { adapterReport, keyOf } from './adapters/report.js'
import { buildChildren } from './build.js'
import { requireCleanTree } from './clean.js'
import { figure } from './table.js'

const say = (line: string): void => { process.stderr.write(`${line}\n`) }

async function main (options: Options): Promise<void> {
  if (options.isWritten) requireCleanTree()
  const broker = new Broker()
  try {
    await broker.start()
  } catch (error) {
    say(
      `This benchmark runs redis-server, 7.0 or newer, on a free port (Debian: apt-get install redis-server): ${(error as Error).message}`
    )
    process.exit(1)
  }
  const scripts = await buildChildren()
  const results = new Map<string, CellResult[]>()
  const failures: string[] = []
  for (let repetition = 0; repetition < options.repeat; repetition++) {
    for (const nodes of options.nodes) {
      for (let i = 0; i < ADAPTER_PEERS.length; i++) {
        // Each repetition starts with another peer, so that none always runs first.
        const peer = ADAPTER_PEERS[(i + repetition) % ADAPTER_PEERS.length]!
        const label = `${repetition + 1}/${options.repeat} ${nodes} ${nodes === 1 ? 'node' : 'nodes'} ${peer.id}`
        try {
          const result = await new AdapterCell({
            peer,
            nodes,
            seconds: options.seconds,
            rate: options.rate,
            broker,
            scripts
          }).run()
          results.set(keyOf(nodes, peer), [...results.get(keyOf(nodes, peer)) ?? [], result])
          const { saturated, steady } = result
          say(
            `${label}: ${figure(saturated.perSecond)} publishes/s; p50 ${figure(steady.p50!)} ms, p99 ${figure(steady.p99!)} ms, ${figure(steady.sent)} commands`
          )
        } catch (error) {
          const reason = (error as Error).message.split('\n')[0]!
          say(`${label} failed: ${reason}`)
          failures.push(`${label}: ${reason}`)
        }
      }
    }
  }
  const text = adapterReport(options, results, broker.version, failures)
  process.stdout.write(text)
  if (options.isWritten) writeFileSync(new URL('ADAPTERS.md', import.meta.url), text)
  process.exit(failures.length === 0 ? 0 : 1)
}

const options = readOptions(process.argv.slice(2))
if (options === undefined) process.stdout.write(`${USAGE}\n`)
else await main(options)
