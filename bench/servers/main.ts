import type { ServerApi, ServerConfig, Started } from '../shared/messages.js'
import { serve } from '../shared/rpc.js'
import { Drive } from './drive.js'
import type { PeerModule, PeerServer } from './peer.js'
import { startProfile, writeProfile } from './profile.js'
import { collect, readUsage } from './usage.js'
import { versionOf } from './version.js'

let server: PeerServer
let drive: Drive

const api: ServerApi = {
  async start (config: ServerConfig): Promise<Started> {
    const { start } = await import(`./${config.peer}.js`) as PeerModule
    server = await start(config)
    drive = new Drive(server, config)
    return { port: server.port, version: versionOf(config.peer) }
  },
  round (round) { void drive.round(round) },
  fill: async (fill) => { await drive.fill(fill) },
  rate: async (rate) => await drive.rate(rate),
  collect,
  usage: async () => await readUsage(server),
  startProfile,
  writeProfile
}

serve(api)
