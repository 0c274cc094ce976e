import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Admission, Admitted } from '../admission/admission.js'
import type { Slots } from '../admission/slots.js'
import { offeredProtocols, selectProtocol } from '../protocol/subprotocol.js'
import { Refusal } from '../errors/refusal.js'
import { PROTOCOL } from '../protocol/frames.js'
import type { Upgrade, WebSocketTransport } from '../transports/websocket.js'
import type { Openings } from './opening.js'

export interface UpgradesOptions {
  readonly admission: Admission
  readonly slots: Slots
  readonly openings: Openings
  readonly websocket: WebSocketTransport
  readonly upgradeOf: (request: FastifyRequest) => Upgrade | undefined
  /** Tells that the upgrade belongs to this plugin from here on. */
  readonly settle: (request: FastifyRequest) => void
}

/** Opens connections by WebSocket. */
export class Upgrades {
  readonly #options: UpgradesOptions

  constructor (options: UpgradesOptions) {
    this.#options = options
  }

  /** Completes the handshake of an admitted upgrade. */
  open (request: FastifyRequest, reply: FastifyReply, admitted: Admitted): void {
    const { admission, slots, openings, websocket, upgradeOf, settle } = this.#options
    admission.confirm(admitted)
    const upgrade = upgradeOf(request)
    void reply.hijack()
    if (upgrade === undefined || upgrade.socket.destroyed) return
    settle(request)
    releaseResponse(reply)
    const link = websocket.accept(upgrade)
    if (link === undefined) slots.release(admitted.connectionId)
    else openings.open(openings.connect(admitted, request.ip ?? '', link), admitted)
  }
}

/** Tokens of RFC 9110 5.6.2 with commas between them. */
const PROTOCOLS = /^[ \t]*[!#$%&'*+.^_`|~\dA-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~\dA-Za-z-]+)*[ \t]*$/

/**
 * Refuses before the admission what `ws` would refuse after it, so that no slot is taken for it.
 *
 * @returns the subprotocols that the client offers
 */
export function checkHandshake (request: FastifyRequest): readonly string[] {
  const { headers } = request
  if (request.method !== 'GET') {
    throw new Refusal('protocol', {
      message: 'a WebSocket is opened by GET',
      as: { code: 'protocol', statusCode: 405 }
    })
  }
  if (String(headers['sec-websocket-version']) !== '13') {
    throw new Refusal('protocol', {
      message: 'Sec-WebSocket-Version must be 13',
      as: { code: 'protocol', statusCode: 426 }
    })
  }
  if (!/^[+/0-9A-Za-z]{22}==$/.test(String(headers['sec-websocket-key']))) {
    throw new Refusal('protocol', { message: 'Sec-WebSocket-Key is missing or malformed' })
  }
  const offered = offeredProtocols(request.headers['sec-websocket-protocol'])
  const list = headers['sec-websocket-protocol']
  if (list !== undefined && (!PROTOCOLS.test(list) || new Set(offered).size < offered.length)) {
    throw new Refusal('protocol', { message: 'Sec-WebSocket-Protocol is a list of tokens (RFC 6455 4.1), each once' })
  }
  if (offered.length > 0 && selectProtocol(offered) === false) {
    throw new Refusal('protocol', { message: `offer the subprotocol ${PROTOCOL}` })
  }
  return offered
}

/**
 * Releases the response of an upgraded socket, which needs its request and response no more; both would stay in memory
 * with it, hooks and headers included. `detachSocket` is what Node itself calls when a response ends.
 */
function releaseResponse (reply: FastifyReply): void {
  const { raw } = reply
  if (raw.socket !== null && raw.socket !== undefined) raw.detachSocket(raw.socket)
}
