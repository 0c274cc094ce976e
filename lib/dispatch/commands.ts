import { MESSAGE } from '../diagnostics/channels.js'
import { isNearly, type LimitWarnings } from '../errors/limit-warnings.js'
import { Refusal } from '../errors/refusal.js'
import type {
  AckCommand, ClientAnswer, Command, HistoryCommand, MessageCommand, PresenceCommand, ReadCommand
} from '../protocol/frames.js'
import type { EventHead } from '../protocol/packet.js'
import { dataOf } from '../protocol/part.js'
import type { AckFrame, EventFrame, EventName, PongFrame } from '../protocol/server-frames.js'
import type { Hub } from '../rooms/hub.js'
import { memberDataOf } from '../rooms/member-data.js'
import { MemberLists } from '../rooms/member-lists.js'
import type { Awaitable } from '../structures/awaitable.js'
import { costOf } from '../structures/token-bucket.js'
import type { Caller, UsedRoom } from './caller.js'
import { MessageCall } from './message-call.js'
import { checkSize, fittingNow, type Messages } from './messages.js'
import type { Outcome } from './outcome.js'
import { runMessage, tracedMessage } from './traced-message.js'

export interface CommandsOptions {
  readonly rooms: Hub
  readonly messages: Messages
  /** Users in one list of members. */
  readonly presenceList: number
  /** Bytes of one answer of history or members. */
  readonly answer: number
  /** Bytes of one message. */
  readonly message: number
  readonly limitWarnings: LimitWarnings
}

/** The frame that answers a command. */
export type Answer = AckFrame | PongFrame | EventFrame

/** The answer to a request for data, and its size, for which the caller is charged. */
interface Found { readonly data: unknown, readonly bytes: number }

/** Executes commands for any sender, over any transport. */
export class Commands {
  readonly #options: CommandsOptions

  constructor (options: CommandsOptions) {
    this.#options = options
  }

  /**
   * @param bytes of the frame
   * @returns the answer; nothing where the caller has answered it itself. It is no promise for a `ping`, and where
   *   the caller acts at once.
   * @throws Refusal, by a rejection too
   */
  answer (command: Command, caller: Caller, bytes: number): Awaitable<Answer | void> {
    switch (command.type) {
      case 'ping': return { type: 'pong', id: command.id }
      case 'pong': return after(command.id === undefined ? undefined : caller.pong(command.id), { type: 'ack' })
      case 'ack': return after(caller.acked(command.id, answerOf(command)), { type: 'ack', id: command.id })
      case 'auth': return this.#auth(command.ticket, command.id, caller)
      case 'join': return caller.join(command)
      case 'leave': return after(caller.leave(command.room), { type: 'ack', room: command.room, id: command.id })
      case 'members': return this.#members(command.room, command.id, caller)
      case 'history': return this.#history(command, caller)
      case 'read': return this.#read(command, caller)
      case 'presence': return this.#show(command, caller, bytes)
      case 'message': return this.#message(command, caller, bytes)
    }
  }

  async #auth (ticket: string, id: string | undefined, caller: Caller): Promise<Answer> {
    const expires = await caller.renew(ticket)
    return { type: 'ack', id, data: expires === undefined ? {} : { expires } }
  }

  #message (command: MessageCommand, caller: Caller, bytes: number): Awaitable<Answer> {
    const used = caller.use(command.room)
    return used instanceof Promise
      ? used.then((room) => this.#handle(command, caller, room, bytes))
      : this.#handle(command, caller, used, bytes)
  }

  #handle (command: MessageCommand, caller: Caller, room: UsedRoom, bytes: number): Awaitable<Answer> {
    this.#look(command.room, room.declaration.messageLimit, bytes, caller)
    const { rooms, messages } = this.#options
    const call = new MessageCall(rooms, command, caller, room, bytes)
    const outcome = MESSAGE.hasSubscribers ? tracedMessage(messages, call) : runMessage(messages, call)
    return outcome instanceof Promise
      ? outcome.then((told) => answerTo(command, room, told))
      : answerTo(command, room, outcome)
  }

  /** Tells of a frame that nearly is too large; one that is has been refused before, or is refused by the room. */
  #look (room: string, own: number | undefined, bytes: number, { sender, userId }: Caller): void {
    const { message, limitWarnings } = this.#options
    const of = (): object => ({ connectionId: sender, userId, room })
    if (own !== undefined && isNearly(bytes, own)) limitWarnings.look('limits.message of the room', bytes, own, of())
    if (isNearly(bytes, message)) limitWarnings.look('limits.message', bytes, message, of())
  }

  async #members (room: string, id: string | undefined, caller: Caller): Promise<Answer> {
    const { declaration } = await caller.use(room)
    if (!this.#options.rooms.listsMembers(declaration)) {
      throw new Refusal('invalid_message', { message: 'the room has no presence' })
    }
    const { data, bytes } = await this.#presence(room)
    caller.charge(costOf(bytes))
    return { type: 'ack', room, id, data }
  }

  /** Changes what is shown of the caller's user. */
  async #show ({ room, id, data }: PresenceCommand, caller: Caller, bytes: number): Promise<Answer> {
    const used = await caller.use(room)
    const { canUpdate, member, messageLimit, pattern } = used.declaration
    if (!canUpdate) throw new Refusal('invalid_message', { message: 'what the room shows of its members is fixed' })
    this.#look(room, messageLimit, bytes, caller)
    checkSize(messageLimit, bytes)
    const shown = memberDataOf(fittingNow(member!, data, `member data of "${pattern.source}"`), pattern.source)
    used.check()
    if (!await this.#options.rooms.update(room, caller.userId, shown)) throw new Refusal('not_joined', { room })
    return { type: 'ack', room, id }
  }

  /** Omits the list where it does not fit into one answer, like that of too many users. */
  async #presence (room: string): Promise<Found> {
    const { rooms, presenceList, answer } = this.#options
    const lists = new MemberLists(answer)
    return { data: lists.fit(await rooms.members(room, presenceList)), bytes: lists.bytes }
  }

  async #history ({ room, id, since, limit }: HistoryCommand, caller: Caller): Promise<Answer> {
    const used = await caller.use(room)
    const { data, bytes } = await this.#past(room, since, limit, (event) => used.isExcepted(event))
    caller.charge(costOf(bytes))
    return { type: 'ack', room, id, data }
  }

  /** Answers with the whole of a text, in the frame that a member gets who has nothing of it. */
  async #read ({ room, id, event, key }: ReadCommand, caller: Caller): Promise<Answer> {
    const used = caller.use(room)
    const { declaration } = used instanceof Promise ? await used : used
    if (!declaration.texts.has(event)) {
      throw new Refusal('invalid_message', { message: 'the room has no such event whose texts can be read' })
    }
    const text = await this.#options.rooms.texts.text(room, event, key)
    if (text === undefined) throw new Refusal('invalid_message', { message: 'nothing is kept under this key' })
    const { part, timestamp } = text
    caller.charge(costOf(part.inside.length))
    return {
      // The name of an event is of this type for the compiler.
      type: event as EventName,
      room,
      id,
      data: JSON.parse(dataOf(part)),
      from: 0,
      end: part.end,
      timestamp
    }
  }

  /**
   * Returns as many events as fit into one answer, at least one, and the position behind them; `more` says that there
   * are more.
   */
  async #past (
    room: string,
    since: HistoryCommand['since'],
    limit: number | undefined,
    isExcepted: (event: EventHead) => boolean
  ): Promise<Found> {
    const { rooms, answer } = this.#options
    let page = await rooms.history(room, since, limit, answer)
    const { resumed } = page
    // A page whose events all exclude this caller would tell it nothing, so the next one is read.
    while (page.isPart === true && page.events.every(({ event }) => isExcepted(event!))) {
      page = await rooms.history(room, page.events.at(-1)!.position, limit, answer)
    }
    const { events, top, isPart } = page
    const taken: unknown[] = []
    let bytes = 0
    let read = 0
    for (const packet of events) {
      if (!isExcepted(packet.event!)) {
        if (taken.length > 0 && bytes + packet.bytes.length > answer) break
        bytes += packet.bytes.length
        taken.push(JSON.parse(packet.payload.toString()))
      }
      read++
    }
    const hasMore = read < events.length || isPart === true
    return {
      data: {
        position: hasMore ? events[read - 1]!.position : top,
        ...(since === undefined ? {} : { resumed }),
        ...(hasMore ? { more: true } : {}),
        events: taken
      },
      bytes
    }
  }
}

/** @throws Refusal where the message came to an error */
function answerTo ({ room: name, name: type, id }: MessageCommand, room: UsedRoom, outcome: Outcome): Answer {
  if ('error' in outcome) {
    const rule = room.declaration.messages.get(type)
    if (rule !== undefined) rule.counted.refused++
    throw Refusal.from(outcome.error, outcome.status, name)
  }
  return { type: 'ack', room: name, id, data: outcome.data }
}

/** Returns the answer once `done` has been done. */
function after (done: Awaitable<void>, answer: Answer): Awaitable<Answer> {
  return done instanceof Promise ? done.then(() => answer) : answer
}

function answerOf ({ data, error }: AckCommand): ClientAnswer {
  return { ...(data === undefined ? {} : { data }), ...(error === undefined ? {} : { error }) }
}
