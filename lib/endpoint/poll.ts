import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Admission, Admitted } from '../admission/admission.js'
import type { Peers } from '../admission/peer.js'
import type { FirstRooms } from '../dispatch/first-rooms.js'
import type { JoinResult } from '../dispatch/joins.js'
import { secondsOf, sendText } from '../errors/http.js'
import { ofUser, Refusal } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import { isOffset } from '../protocol/position.js'
import type { Exchanges } from './exchanges.js'
import { ANSWER_HEADERS } from './headers.js'
import type { Openings } from './opening.js'
import { encodeAnswer } from './poll-answer.js'
import type { Polls } from './polls.js'

export interface PollOptions {
  readonly admission: Admission
  readonly firstRooms: FirstRooms
  readonly connections: Peers
  readonly exchanges: Exchanges
  readonly openings: Openings
  readonly polls: Polls
}

/** Reads the request of a poll over HTTP and writes its answer; `Polls` decides what the answer contains. */
export class Poll {
  readonly #options: PollOptions

  constructor (options: PollOptions) {
    this.#options = options
  }

  /**
   * Waits for frames, and answers with them.
   *
   * @throws Refusal with the reason why the connection has ended
   */
  async answer (request: FastifyRequest, reply: FastifyReply, admitted: Admitted): Promise<unknown> {
    const { admission, firstRooms, connections, openings, polls, exchanges } = this.#options
    const { known, entries, out, cursor, since } = admitted
    const { raw } = reply
    admission.confirm(admitted)
    if (known === undefined && (raw.socket?.destroyed === true || raw.destroyed)) return await reply.send()
    // A connection that was made for a request which is refused would be ended by nobody. Without a cursor it is the
    // first poll, which is answered at once.
    const wait = cursor === undefined ? 0 : waitOf(request)
    const connection = known ?? openings.connect(admitted, request.ip ?? '', undefined, 'polling')
    if (known !== undefined) connections.renew(connection, admitted.identity)
    // A client that polls too often is not refused but has to wait, since its events stay in the history.
    // One without a cursor has been charged as an opening.
    const hold = cursor === undefined ? 0 : known?.spend(performance.now()) ?? 0
    if (connection.ending !== undefined) throw ofUser(connection.ending, connection.userId)
    // A poll may be idle for as long as it asked to wait.
    exchanges.mayIdle(request.raw)
    const answer = await polls.run(connection, admitted, { wait, hold }, async () => {
      let entered: readonly JoinResult[] = []
      await firstRooms.open(connection, entries.filter(({ name }) => !out.has(name)), since, (rooms) => {
        entered = rooms
        return undefined
      })
      return entered
    }, (callback) => { exchanges.whenOver(request.raw, () => { if (!raw.writableFinished) callback() }) })
    if (answer instanceof Refusal) throw ofUser(answer, connection.userId)
    if (connection.ending !== undefined) throw ofUser(connection.ending, connection.userId)
    if (cursor === undefined) void reply.header('x-user-id', encodeURIComponent(connection.userId))
    if (connection.retryAfter !== undefined && !connection.isOpen) {
      void reply.header('retry-after', secondsOf(connection.retryAfter))
    }
    polls.answered(connection, () => {
      exchanges.cut(request.raw)
    }, (callback) => { exchanges.whenOver(request.raw, callback) })
    return await sendText(reply.headers(ANSWER_HEADERS), encodeAnswer(answer))
  }
}

function waitOf (request: FastifyRequest): number {
  const { wait } = request.query as { wait?: unknown }
  if (wait === undefined) return DEFAULTS.pollWait
  const asked = typeof wait === 'string' && /^\d{1,9}$/.test(wait) ? Number(wait) : undefined
  if (!isOffset(asked)) throw new Refusal('invalid_message', { message: 'wait must be milliseconds, a whole number' })
  return Math.min(asked, DEFAULTS.pollWait)
}
