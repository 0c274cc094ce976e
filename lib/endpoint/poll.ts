import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Admission, Admitted } from '../admission/admission.js'
import type { Peer, Peers } from '../admission/peer.js'
import type { FirstRooms } from '../dispatch/first-rooms.js'
import type { JoinResult } from '../dispatch/join-result.js'
import { secondsOf, sendText } from '../errors/http.js'
import { ofUser, Refusal } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import { isOffset } from '../protocol/position.js'
import type { Exchanges } from './exchanges.js'
import { ANSWER_HEADERS } from './headers.js'
import type { Openings } from './opening.js'
import { encodeAnswer, type PollAnswer } from './poll-answer.js'
import type { PollTurn } from './poll-turn.js'
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

  /** Enters the rooms of a connection that is new on this node. */
  readonly #enter = async (connection: Peer, { entries, out, since }: Admitted): Promise<readonly JoinResult[]> => {
    let entered: readonly JoinResult[] = []
    const asked = entries.filter(({ name }) => !out.has(name))
    await this.#options.firstRooms.open(connection, asked, since, (rooms) => {
      entered = rooms
      return undefined
    })
    return entered
  }

  /**
   * Waits for frames, and answers with them.
   *
   * @throws Refusal with the reason why the connection has ended
   */
  answer (request: FastifyRequest, reply: FastifyReply, admitted: Admitted): unknown {
    const { admission, connections, openings, polls, exchanges } = this.#options
    const { known, cursor } = admitted
    const { raw } = reply
    admission.confirm(admitted)
    if (known === undefined && (raw.socket?.destroyed === true || raw.destroyed)) return reply.send()
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
    const turn = polls.begin(connection, admitted, { wait, hold }, this.#enter)
    exchanges.whenOver(request.raw, () => { if (!raw.writableFinished) polls.giveUp(turn) })
    return this.#whenAnswered(turn, request, reply)
  }

  /** What waits is kept small, because as many polls wait as there are clients. */
  async #whenAnswered (turn: PollTurn, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const answer = await turn.answered
    return this.#send(turn, answer, request, reply)
  }

  #send (
    { connection, isFirst }: PollTurn,
    answer: PollAnswer | Refusal,
    request: FastifyRequest,
    reply: FastifyReply
  ): FastifyReply {
    const { polls, exchanges } = this.#options
    if (answer instanceof Refusal) throw ofUser(answer, connection.userId)
    if (connection.ending !== undefined) throw ofUser(connection.ending, connection.userId)
    if (isFirst) void reply.header('x-user-id', encodeURIComponent(connection.userId))
    if (connection.retryAfter !== undefined && !connection.isOpen) {
      void reply.header('retry-after', secondsOf(connection.retryAfter))
    }
    polls.answered(connection, () => {
      exchanges.cut(request.raw)
    }, (callback) => { exchanges.whenOver(request.raw, callback) })
    return sendText(reply.headers(ANSWER_HEADERS), encodeAnswer(answer))
  }
}

function waitOf (request: FastifyRequest): number {
  const { wait } = request.query as { wait?: unknown }
  if (wait === undefined) return DEFAULTS.pollWait
  const asked = typeof wait === 'string' && /^\d{1,9}$/.test(wait) ? Number(wait) : undefined
  if (!isOffset(asked)) throw new Refusal('invalid_message', { message: 'wait must be milliseconds, a whole number' })
  return Math.min(asked, DEFAULTS.pollWait)
}
