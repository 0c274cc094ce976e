import type { Control, ControlMessage } from '../adapters/adapter.js'
import type { Peers } from '../admission/peer.js'
import { Refusal } from '../errors/refusal.js'
import { keyOf } from '../protocol/key.js'
import { DeadlineQueue } from '../structures/deadline-queue.js'
import type { Departures } from './departures.js'
import { inBatches } from '../structures/slices.js'
import { after } from '../structures/timers.js'
import { PastDepartures } from './past-departures.js'

type Follow = Extract<ControlMessage, { readonly type: 'follow' }>
type Departed = Extract<ControlMessage, { readonly type: 'departed' }>

/** Handlers of other nodes that are told of connections here: above it the oldest run on, at most to their timeouts. */
const MAX_FOLLOWED = 10_000
/** Milliseconds between a link's return and the questions that follow it. */
const AGAIN = 500
/** Questions under way at a time. */
const AT_ONCE = 50

/**
 * Tells handlers under way of the departure of a connection that lives on another node: a load balancer sends a POST to
 * any node, and only the node of the connection knows when it ends or is taken out of a room. A handler's node asks for
 * it once the handler has asked for its signal; the connection's node answers when that happens, for as long as a
 * handler may run. What had happened before it was asked it has remembered for as long, and answers at once.
 */
export class DistantDepartures {
  readonly #departures: Departures
  readonly #connections: Peers
  readonly #control: Control | undefined
  readonly #onError: (error: unknown) => void
  /** What other nodes are told of, by connection and room: how to end that. */
  readonly #followed = new Map<string, () => void>()
  readonly #ends: DeadlineQueue<string>
  readonly #past: PastDepartures
  #again: NodeJS.Timeout | undefined
  #isClosed = false

  /**
   * @param control absent where there is a single node only
   * @param timeout milliseconds that a handler may run
   */
  constructor (
    departures: Departures,
    connections: Peers,
    control: Control | undefined,
    timeout: number,
    onError: (error: unknown) => void
  ) {
    this.#departures = departures
    this.#connections = connections
    this.#control = control
    this.#onError = onError
    this.#ends = new DeadlineQueue(timeout, (key) => { this.#forget(key) })
    this.#past = new PastDepartures(timeout)
    departures.onMoved = ({ id, userId }, room) => {
      this.#send({ type: 'follow', user: userId, connection: id, room })
    }
    if (control !== undefined) {
      departures.onDeparted = (peer, why, room) => { this.#past.add(peer, why, room) }
    }
  }

  /** Asks the node on which a connection lives to tell of its departure. */
  follow (connection: string, user: string, room: string): void {
    const question = { type: 'follow', user, connection, room } as const
    // It may have come here after the handler had begun.
    this.followed(question)
    this.#send(question)
  }

  /**
   * Asks for all of them again, because what was asked or told while a link was broken is lost: when this node is back,
   * and when another one is. All who are back within a moment are asked together.
   */
  askAgain (): void {
    if (this.#control === undefined || this.#isClosed) return
    this.#again ??= after(() => {
      this.#again = undefined
      void this.#askAll()
    }, AGAIN).unref()
  }

  async #askAll (): Promise<void> {
    let asked = 0
    await inBatches(this.#departures.elsewhere(), AT_ONCE, async (followed) => {
      if (++asked > MAX_FOLLOWED || this.#isClosed) return
      await this.#control!.send({ type: 'follow', ...followed }).catch(this.#onError)
    })
  }

  /** Another node asks for it. */
  followed ({ user, connection, room }: Follow): void {
    const past = this.#past.find(connection, user, room)
    if (past !== undefined) this.#tell(connection, room, past.why, past.ago)
    const peer = this.#connections.get(connection)
    if (peer?.userId !== user || !peer.isOpen) return
    const key = keyOf(connection, room)
    this.#forget(key)
    const [oldest] = this.#followed.keys()
    if (this.#followed.size >= MAX_FOLLOWED) this.#forget(oldest!)
    this.#ends.add(key)
    this.#followed.set(key, this.#departures.follow(connection, room, (why) => {
      this.#forget(key)
      this.#tell(connection, room, why)
    }, { whenMoved: () => { this.#forget(key) } }))
  }

  /** The node of a connection tells of it. */
  departed ({ connection, room, code, message, ago = 0 }: Departed): void {
    this.#departures.departed(connection, room, new Refusal(code, { room, message }), performance.now() - ago)
  }

  close (): void {
    this.#isClosed = true
    clearTimeout(this.#again)
    this.#ends.stop()
    this.#followed.clear()
  }

  #forget (key: string): void {
    const end = this.#followed.get(key)
    if (end === undefined) return
    this.#followed.delete(key)
    this.#ends.delete(key)
    end()
  }

  #tell (connection: string, room: string, { word, message }: Refusal, ago = 0): void {
    // A node that closes sends its clients to others, where the handlers go on.
    if (word === 'draining') return
    const departed = { type: 'departed', connection, room, code: word, message, ago } as const
    // The connection may have come here after a handler of this node began to follow it elsewhere.
    this.departed(departed)
    this.#send(departed)
  }

  #send (message: ControlMessage): void { this.#control?.send(message).catch(this.#onError) }
}
