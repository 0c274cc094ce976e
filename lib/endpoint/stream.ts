import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Admission, Admitted } from '../admission/admission.js'
import type { Settings } from '../options/resolve.js'
import { CursorTrack } from '../transports/cursor-track.js'
import { encodeRetry, retryAdvice, SSE_HEADERS, SseLink } from '../transports/sse.js'
import type { Exchanges } from './exchanges.js'
import { varied } from './headers.js'
import type { Openings } from './opening.js'

export interface StreamsOptions {
  readonly settings: Settings
  readonly admission: Admission
  readonly exchanges: Exchanges
  readonly openings: Openings
}

/** Opens connections by Server-Sent Events. */
export class Streams {
  readonly #options: StreamsOptions

  constructor (options: StreamsOptions) {
    this.#options = options
  }

  /** Begins the stream of an admitted request. */
  open (request: FastifyRequest, reply: FastifyReply, admitted: Admitted): FastifyReply {
    const { settings, admission, exchanges, openings } = this.#options
    const { raw } = reply
    admission.confirm(admitted)
    if (raw.destroyed || raw.socket?.destroyed === true) return reply.hijack()
    // The end of the socket ends the stream: chunks would make each event six bytes longer and a write of three pieces,
    // and the standard of event streams advises against them.
    raw.useChunkedEncodingByDefault = false
    // The headers of the app's hooks (CORS above all) are lost by a hijack unless they are copied. One that no answer
    // can carry throws here, while Fastify still answers the request.
    raw.writeHead(200, { ...reply.getHeaders() as Record<string, string>, vary: varied(reply), ...SSE_HEADERS })
    void reply.hijack()
    exchanges.streams(request.raw)
    const { cursorRooms, entries, connectionId, isUnnamed } = admitted
    const track = new CursorTrack(connectionId, cursorRooms)
    for (const { name, request } of entries) track.begin(name, request)
    // The server's limit for idle requests does not apply to a stream, whose comments bound how long it may be silent.
    exchanges.mayIdle(request.raw)
    raw.write(encodeRetry(retryAdvice()))
    raw.flushHeaders()
    const connection = openings.connect(admitted, request.ip ?? '', new SseLink(raw, track, !isUnnamed))
    // A stream opened by ticket cannot reconnect on its own, because its credential is spent.
    if (admitted.carrier !== 'ticket') {
      connection.lastUntil(performance.now() + settings.sse.age * (0.8 + Math.random() * 0.4))
    }
    openings.open(connection, admitted, (rooms) => {
      for (const result of rooms) {
        if ('data' in result) track.enter(result.name, result.data)
      }
    })
    return reply
  }
}
