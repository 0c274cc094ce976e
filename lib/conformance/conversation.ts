import type { Frame } from '../testing/frame-queue.js'
import type { Position } from '../protocol/position.js'
import type { Attempt, RefusedWith, ScriptedLink } from './link.js'
import type { ScriptedServer } from './server.js'

/** The room that the client under test joins. */
export const ROOM = 'conformance/1'
const EPOCH = 'kitepoch'
const HEARTBEAT = 25_000

/** The client does something else than what the protocol says, and what follows cannot be tried. */
export class Stray extends Error {}

/** What is said between the script and the client, over one link after the other. */
export class Conversation {
  readonly #server: ScriptedServer
  readonly #patience: number
  #link: ScriptedLink | undefined
  #offset = 0
  #step = 0

  /** @param patience milliseconds until something that the client has to do must have happened */
  constructor (server: ScriptedServer, patience: number) {
    this.#server = server
    this.#patience = patience
  }

  get link (): ScriptedLink { return this.#link! }
  /** Where the room stands. */
  get position (): Position { return { epoch: EPOCH, offset: this.#offset } }

  async attempt (): Promise<Attempt> {
    const attempt = await this.#server.attempt(this.#patience)
    if (attempt === undefined) throw new Stray(`no ${this.#server.asked} was opened within ${this.#patience} ms`)
    return attempt
  }

  /** @returns the attempt to connect that came in this time, in milliseconds, against what the protocol says */
  async quiet (time: number): Promise<Attempt | undefined> { return await this.#server.attempt(time) }

  /**
   * Lets the client in.
   *
   * @param top where the room stands meanwhile: what the client has not heard until there is lost
   * @returns the position that it asks to be resumed at
   */
  async enter (attempt: Attempt, top?: number): Promise<Position | undefined> {
    const link = await attempt.accept().catch((error: unknown) => { throw new Stray((error as Error).message) })
    this.#link = link
    const isNamed = attempt.rooms.includes(ROOM)
    const named = attempt.since(ROOM)
    link.send({
      type: 'welcome',
      data: {
        connectionId: link.id,
        userId: 'kit',
        version: 1,
        heartbeat: HEARTBEAT,
        limits: { message: 65_536, rooms: 100, rate: { messages: 50, burst: 100 } },
        rooms: isNamed ? { [ROOM]: this.#entered(named, top) } : {}
      }
    })
    if (isNamed) return named
    if (this.#server.transport === 'sse') throw new Stray(`a stream names its rooms in its URL; it named ${JSON.stringify(attempt.rooms)}`)
    const join = await this.next('join', ({ type, room }) => type === 'join' && room === ROOM)
    if (typeof join.id !== 'string') throw new Stray('a join has an id, by which its ack is known')
    const since = (join.data as { since?: Position } | undefined)?.since
    link.send({ type: 'ack', id: join.id, room: ROOM, data: this.#entered(since, top) })
    return since
  }

  #entered (since: Position | undefined, top: number | undefined): object {
    if (top !== undefined) this.#offset = top
    if (since === undefined) return this.position
    return top === undefined ? { ...since, resumed: true } : { ...this.position, resumed: false }
  }

  /** Sends the next step. @returns its number */
  tell (holes = 0): number {
    this.#offset += 1 + holes
    this.#step++
    this.repeat()
    return this.#step
  }

  /** Sends the last step again. */
  repeat (): void {
    const [offset, n] = [this.#offset, this.#step]
    this.link.send({ type: 'step', room: ROOM, offset, timestamp: Date.now(), data: { n } })
  }

  /** Tells that events are lost. */
  gap (): void {
    const from = this.#offset + 1
    this.#offset += 10
    this.link.send({ type: 'gap', room: ROOM, data: { epoch: EPOCH, from, to: this.#offset } })
  }

  /** What the client sends next of the messages that it is to send, acknowledged unless it says otherwise. */
  async heard (isAcked = true): Promise<Frame> {
    const frame = await this.next('message', ({ type }) => type === 'heard' || type === 'lost')
    if (typeof frame.id !== 'string' || frame.room !== ROOM) {
      throw new Stray(`a message has a room and an id, by which it takes effect once; got ${JSON.stringify(frame)}`)
    }
    if (isAcked) this.ack(frame)
    return frame
  }

  ack (frame: Frame): void { this.link.ack(frame) }

  refuse (frame: Frame, reason: RefusedWith): void { this.link.refuse(frame, reason) }

  async next (what: string, matches?: (frame: Frame) => boolean): Promise<Frame> {
    try {
      return await this.link.frames.next(what, matches, this.#patience)
    } catch (error) {
      throw new Stray((error as Error).message)
    }
  }
}
