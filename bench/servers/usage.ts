import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Usage } from '../shared/messages.js'
import type { PeerServer } from './peer.js'

const RESOLUTION = 10
const COLLECTIONS = 4

const loop = monitorEventLoopDelay({ resolution: RESOLUTION })
loop.enable()

/** The kernel's own count of `write` and `writev`, where it keeps one (Linux). */
function countSyscalls (): number | undefined {
  try {
    return Number(/^syscw: (\d+)$/m.exec(readFileSync('/proc/self/io', 'latin1'))?.[1])
  } catch {
    return undefined
  }
}

export async function readUsage (server: PeerServer): Promise<Usage> {
  const loopDelay = loop.count === 0 ? 0 : Math.max(0, loop.percentile(99) / 1e6 - RESOLUTION)
  loop.reset()
  const writes = await server.writes?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  const syscalls = server.usesSend === true ? undefined : countSyscalls()
  const { user, system } = process.cpuUsage()
  return { user, system, rss, heap: heapUsed + external, syscalls, writes, loopDelay }
}

/** Garbage is not what is measured. */
export async function collect (): Promise<void> {
  for (let i = 0; i < COLLECTIONS; i++) {
    globalThis.gc?.()
    await sleep(20)
  }
}
