/**
 * Who has the time of a CPU profile: the kernel and Node for writes and reads, packages, and our own folders. The
 * profiles are those of `npm run bench -- --profile DIR`, or of `node --cpu-prof`.
 *
 * `node --import tsx bench/shares.ts [profiles]`
 */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { table } from './table.js'

interface Frame { readonly functionName: string, readonly url: string }
interface Profile {
  readonly nodes: ReadonlyArray<{ readonly id: number, readonly callFrame: Frame }>
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** Functions that are named for each profile. */
const SHOWN = 12
/** Native functions that write to sockets. */
const WRITES = /^(write|writev|writeBuffer|writeUtf8String|writeLatin1String|shutdown)$/
/** What the profiler itself takes, and a process that waits. */
const APART = new Set(['dispatch', '(idle)', '(root)'])

function ownerOf ({ functionName, url }: Frame): string | undefined {
  if (url === '' && APART.has(functionName)) return undefined
  if (functionName === '(garbage collector)') return 'garbage collection'
  if (url === '' && WRITES.test(functionName)) return 'writes to sockets, with the kernel'
  if (url === '') return 'native code of Node and V8'
  if (url.startsWith('node:')) return 'Node: sockets, streams, timers, promises, loading'
  const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1]
  if (found !== undefined) return found
  const ours = /\/dist\/(?:(servers)\/|([^/]+)\/|)/.exec(url)
  return ours?.[1] !== undefined ? 'the application' : `ours: ${ours?.[2] ?? 'other files'}`
}

function add (sums: Map<string, number>, key: string, value: number): void {
  sums.set(key, (sums.get(key) ?? 0) + value)
}

function report (path: string): string {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(path, 'utf8')) as Profile
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const [owners, functions] = [new Map<string, number>(), new Map<string, number>()]
  let total = 0
  samples.forEach((id, index) => {
    const frame = frames.get(id)!
    const owner = ownerOf(frame)
    if (owner === undefined) return
    const time = timeDeltas[index]!
    total += time
    add(owners, owner, time)
    add(functions, `${frame.functionName === '' ? '(anonymous)' : frame.functionName} (${owner})`, time)
  })
  const rows = (sums: Map<string, number>, most: number): string[][] => [...sums].sort(([, a], [, b]) => b - a)
    .slice(0, most)
    .map(([name, time]) => [name, `${(100 * time / total).toFixed(1)} %`])
  return [
    `## ${basename(path)}: ${Math.round(total / 1_000)} ms`,
    table(['who', 'share'], rows(owners, owners.size)),
    table(['function', 'share'], rows(functions, SHOWN))
  ].join('\n\n')
}

process.stdout.write(`${process.argv.slice(2).map(report).join('\n\n')}\n`)
