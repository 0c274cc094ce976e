import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Usage } from '../shared/messages.js'
import type { PeerServer } from './peer.js'

const RESOLUTION = 10
const COLLECTIONS = 4

const loop = watched()

/** Not every runtime can tell how late its loop is. */
function watched (): IntervalHistogram | undefined {
  try {
    const loop = monitorEventLoopDelay({ resolution: RESOLUTION })
    loop.enable()
    return loop
  } catch {
    return undefined
  }
}

function readLoopDelay (): number | undefined {
  if (loop === undefined) return undefined
  const delay = loop.count === 0 ? 0 : Math.max(0, loop.percentile(99) / 1e6 - RESOLUTION)
  loop.reset()
  return delay
}

/** The kernel's own count of `write` and `writev`, where it keeps one (Linux). */
function countSyscalls (): number | undefined {
  try {
    return Number(/^syscw: (\d+)$/m.exec(readFileSync('/proc/self/io', 'latin1'))?.[1])
  } catch {
    return undefined
  }
}

export async function readUsage (server: PeerServer): Promise<Usage> {
  const loopDelay = readLoopDelay()
  const writes = await server.writes?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  const syscalls = server.usesSend === true ? undefined : countSyscalls()
  const own = process.cpuUsage()
  const others = await server.others?.() ?? { user: 0, system: 0 }
  const both = { user: own.user + others.user, system: own.system + others.system }
  return { ...both, own: own.user + own.system, rss, heap: heapUsed + external, syscalls, writes, loopDelay }
}

/** Garbage is not what is measured. */
export async function collect (): Promise<void> {
  const { Bun: runtime } = globalThis as { Bun?: { gc (isSynchronous: boolean): void } }
  for (let i = 0; i < COLLECTIONS; i++) {
    if (runtime === undefined) globalThis.gc?.()
    else runtime.gc(true)
    await sleep(20)
  }
}
