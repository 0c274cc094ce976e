import type { ServerConfig } from '../shared/messages.js'
import { startGateway } from './gateway-app.js'
import type { PeerServer } from './peer.js'

/** The gateway, whose config says as which event a message goes to the room. */
export async function start (config: ServerConfig): Promise<PeerServer> {
  return await startGateway(config, { broadcast: 'said' })
}
