import type { Trace } from '../diagnostics/tracer.js'
import type { MessageCommand } from '../protocol/frames.js'
import type { Declaration } from '../rooms/declaration.js'
import type { Hub } from '../rooms/hub.js'
import type { Caller, UsedRoom } from './caller.js'
import type { MessageSource } from './contexts.js'
import type { GiveUp } from './departures.js'

/** A message of a caller in a room, on its way to the handler. */
export class MessageCall implements MessageSource {
  readonly rooms: Hub
  readonly bytes: number
  /** The trace that it belongs to, where that is followed. */
  readonly trace: Trace | undefined
  readonly #command: MessageCommand
  readonly #caller: Caller
  readonly #room: UsedRoom

  /** @param bytes of the frame */
  constructor (
    rooms: Hub,
    command: MessageCommand,
    caller: Caller,
    room: UsedRoom,
    bytes: number,
    trace?: Trace
  ) {
    this.rooms = rooms
    this.bytes = bytes
    this.trace = trace
    this.#command = command
    this.#caller = caller
    this.#room = room
  }

  get declaration (): Declaration { return this.#room.declaration }
  get params (): Readonly<Record<string, string>> { return this.#room.params }
  /** Name of the room. */
  get name (): string { return this.#command.room }
  /** Name of the message. */
  get type (): string { return this.#command.name }
  get data (): unknown { return this.#command.data }
  get messageId (): string | undefined { return this.#command.id }
  get user (): unknown { return this.#caller.user }
  get userId (): string { return this.#caller.userId }
  get sender (): string | undefined { return this.#caller.sender }
  /** Whether it came by an HTTP request, which may have a trace of its own. */
  get isRequest (): boolean { return this.#caller.isRequest }
  /** The trace that its sender names. */
  get traceparent (): string | undefined { return this.#command.traceparent }

  /**
   * Called right before the handler, because the message may have had to wait for its claim.
   *
   * @throws Refusal when the sender may no longer send it
   */
  check (): void { this.#room.check() }

  /** Calls back once when nobody waits for the handler any more; the result ends it. */
  whenGone (giveUp: GiveUp): () => void {
    return this.#caller.whenGone(giveUp, { room: this.name, used: this.#room, messageId: this.messageId })
  }

  /** The same message as a part of a trace. */
  traced (trace: Trace): MessageCall {
    return new MessageCall(this.rooms, this.#command, this.#caller, this.#room, this.bytes, trace)
  }
}
