import { versionOfPackage } from '../servers/version.js'
import { serve } from '../shared/rpc.js'
import { listenForArrivals } from './arrivals.js'
import type { NodeApi } from './messages.js'
import { Pace } from './pace.js'
import type { NodePeerModule } from './peer.js'

let pace: Pace

const api: NodeApi = {
  async start ({ peer, redis }) {
    const { start } = await import(`./${peer}.js`) as NodePeerModule
    const node = await start(redis)
    pace = new Pace(node)
    const arrivals = await listenForArrivals((events) => { pace.arrived(events) })
    return { port: node.port, arrivals, versions: node.packages.map(versionOfPackage) }
  },
  saturate: async (saturation) => await pace.saturate(saturation),
  trickle: async (trickle) => await pace.trickle(trickle),
  async cpu () {
    const { user, system } = process.cpuUsage()
    return user + system
  }
}

serve(api)
