import type { ServerResponse } from 'node:http'
import { createVerifier } from 'fast-jwt'
import type { ServerConfig } from '../shared/messages.js'
import { SECRET } from '../shared/token.js'
import { listening } from './listening.js'
import { bearer, roomsIn, type PeerServer } from './peer.js'
import { Replies } from './replies.js'

/** Server-Sent Events by hand on a server of Node: a Set of responses, each event serialised once, without chunks. */
export async function start (config: ServerConfig): Promise<PeerServer> {
  const verify = createVerifier({ key: SECRET })
  const replies = new Replies<ServerResponse>()
  const { port } = await listening(config, (request, response) => {
    try {
      verify(bearer(request.headers.authorization))
    } catch {
      response.writeHead(401).end()
      return
    }
    response.useChunkedEncodingByDefault = false
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    response.write(':\n\n')
    response.on('close', replies.enter(response, roomsIn(request.url!.split('?')[1] ?? '')))
  })
  return {
    port,
    broadcast (room, data) {
      const text = `event: said\ndata: ${JSON.stringify({ room, data })}\n\n`
      for (const response of replies.of(room)) response.write(text)
    }
  }
}
