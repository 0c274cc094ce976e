import type { ServerFrame } from '../protocol/server-frames.js'
import { after } from '../structures/timers.js'

/** A frame that the server sent to a peer. */
export interface Frame {
  /** A frame type of the protocol, or the name of an event. */
  type: string
  /** The room concerned. */
  room?: string
  /** The id of the message or command that it answers. */
  id?: string
  /**
   * The data of the frame. It is `any` on purpose: a test reads the fields that it expects (`frame.data.turn`), and
   * with `unknown` it would need a cast in front of each assertion.
   */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  data: any
  /** The event's place in the room's stream. */
  offset?: number
  /** Of an `append` event: the length of the text before the part in `data`. */
  from?: number
  /** Of an `append` event: how its text has ended. */
  end?: 'done' | 'lost' | {
    /** What went wrong. */
    code: string
    /** The same for a person. */
    message: string
  }
}

/** Milliseconds that a test waits for a frame before it fails and prints what did arrive. */
export const DEADLINE = 3_000

interface Waiter { readonly matches: (frame: Frame) => boolean, readonly resolve: (frame: Frame) => void }

/** Records every frame from the beginning, so that no frame is missed between two lines of a test. */
export class FrameQueue {
  readonly #frames: Frame[] = []
  readonly #waiters: Waiter[] = []
  /** Every frame that arrived, read or not. */
  readonly all: Frame[] = []
  #end: string | undefined
  #isEnded: (() => void) | undefined
  readonly ended: Promise<void>

  constructor () {
    this.ended = new Promise((resolve) => { this.#isEnded = resolve })
  }

  push (sent: ServerFrame | Frame): void {
    const frame = sent as Frame
    this.all.push(frame)
    const index = this.#waiters.findIndex(({ matches }) => matches(frame))
    if (index === -1) this.#frames.push(frame)
    else this.#waiters.splice(index, 1)[0]!.resolve(frame)
  }

  /** Tells that no more frames follow. */
  end (reason: string): void {
    this.#end ??= reason
    this.#isEnded?.()
  }

  get waiting (): readonly Frame[] { return this.#frames }

  /** Takes the first unread frame that matches; rejects at the deadline and says what did arrive. */
  async next (
    what: string,
    matches: (frame: Frame) => boolean = ({ type }) => type === what,
    deadline = DEADLINE
  ): Promise<Frame> {
    const index = this.#frames.findIndex(matches)
    if (index !== -1) return this.#frames.splice(index, 1)[0]!
    return await new Promise<Frame>((resolve, reject) => {
      const waiter: Waiter = {
        matches,
        resolve: (frame) => {
          clearTimeout(timer)
          resolve(frame)
        }
      }
      const timer = after(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        reject(new Error(
          `no ${what} within ${deadline} ms${this.#end === undefined ? '' : ` (the connection ended: ${this.#end})`}; unread: ${this.describe()}`
        ))
      }, deadline)
      this.#waiters.push(waiter)
    })
  }

  describe (): string {
    return this.#frames.length === 0
      ? 'nothing'
      : this.#frames.slice(0, 20).map((frame) => JSON.stringify(frame)).join('\n  ')
  }

  /** @throws when a frame is unread */
  assertEmpty (): void {
    if (this.#frames.length > 0) throw new Error(`nothing more was expected, but there is: ${this.describe()}`)
  }
}
