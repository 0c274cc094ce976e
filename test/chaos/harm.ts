import type { FaultProxy } from '../helpers/fault-proxy.js'

/** What was done to links. */
export interface LinkFaults { cuts: number, stalls: number, dead: number }

/** Does harm to one link of a proxy: mostly it cuts it, sometimes it stalls it, or leaves it dead for ten seconds. */
export function harmLink (proxy: FaultProxy, draw: () => number, kind: number, faults: LinkFaults): void {
  if (kind < 0.7) {
    faults.cuts++
    proxy.cut(draw())
  } else if (kind < 0.9) {
    faults.stalls++
    proxy.stall(draw(), draw() * 1_500)
  } else {
    faults.dead++
    proxy.kill(draw(), 10_000)
  }
}
