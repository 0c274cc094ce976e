import type { FastifyBaseLogger } from 'fastify'
import type { Position } from '../protocol/position.js'
import type * as Public from '../types/handlers.js'
import type { RoomHandle } from '../types/handlers.js'
import type { BroadcastOptions } from '../types/rooms.js'
import type { StreamOptions } from '../types/streams.js'
import type { User } from '../types/user.js'
import { Refusal } from '../errors/refusal.js'
import { BROADCAST_OPTIONS, callOptions, signalOption, stringOption } from '../options/call-values.js'
import type { Packet } from '../protocol/packet.js'
import type { Declaration } from '../rooms/declaration.js'
import type { Hub } from '../rooms/hub.js'
import { checkUpdate } from '../rooms/member-data.js'
import { MessageRun } from '../rooms/message-run.js'
import { OpeningWriter } from '../rooms/opening-writer.js'
import { leftOut } from '../rooms/left-out.js'
import { shape } from '../rooms/publications.js'
import type { GiveUp } from './departures.js'
import { HandlerSignal } from './handler-signal.js'

type Params = Readonly<Record<string, string>>
type Events = Record<string, unknown>

export interface ContextSource {
  readonly rooms: Hub
  readonly declaration: Declaration
  readonly name: string
  readonly params: Params
  readonly user: unknown
  readonly userId: string
  /** Connection id, or the verified `x-connection-id` of an HTTP caller. */
  readonly sender: string | undefined
  readonly messageId: string | undefined
}

/** What a message's handler gets its context from. */
export interface MessageSource extends ContextSource {
  readonly data: unknown
  /** Calls back once when nobody waits for the handler any more; the result ends it. */
  whenGone (giveUp: GiveUp): () => void
}

/**
 * Shows the user of a context with other data.
 *
 * @throws Refusal `not_joined` when the user is not in the room
 */
export async function update ({ rooms, name, userId }: ContextSource, data: unknown): Promise<void> {
  if (!await rooms.update(name, userId, data)) throw new Refusal('not_joined', { room: name })
}

/** The room as a handler sees it. */
class Handle implements RoomHandle<Events> {
  readonly name: string
  readonly #source: ContextSource
  /** A handler that runs again, because its first run failed or its node died, must not publish a second time. */
  readonly #run: MessageRun | undefined

  constructor (source: ContextSource) {
    this.name = source.name
    this.#source = source
    const { userId, messageId } = source
    if (messageId !== undefined) this.#run = new MessageRun(userId, messageId)
  }

  broadcast (
    event: string,
    data: unknown,
    options?: BroadcastOptions
  ): Promise<{ position?: Position, recipients: number }> {
    const { rooms, sender, userId } = this.#source
    try {
      const { except, idempotencyKey } = callOptions(options, 'a broadcast', BROADCAST_OPTIONS)
      const once = stringOption(idempotencyKey, 'idempotencyKey of a broadcast') ?? this.#run
      const left = except === undefined ? undefined : leftOut(except, { sender, userId })
      const published = rooms.publish(this.name, event, data, { except: left, once, owner: userId, sender })
      return published instanceof Promise
        ? this.#told(published.then(shape), 'a broadcast failed', event)
        : Promise.resolve(shape(published))
    } catch (error) {
      return this.#told(Promise.reject(error), 'a broadcast failed', event)
    }
  }

  #told<T> (work: Promise<T>, what: string, event?: string): Promise<T> {
    return this.#source.rooms.told(work, what, { room: this.name, ...(event === undefined ? {} : { event }) })
  }

  remove (event: string, key: string | number): Promise<{ recipients: number }> {
    return this.#told(this.#remove(event, key), 'room.remove failed', event)
  }

  async #remove (event: string, key: string | number): Promise<{ recipients: number }> {
    const { rooms, userId } = this.#source
    return shape(await rooms.remove(this.name, event, key, { once: this.#run, owner: userId }))
  }

  presence (data: unknown): Promise<void> { return this.#told(this.#presence(data), 'room.presence failed') }

  async #presence (data: unknown): Promise<void> {
    await update(this.#source, checkUpdate(this.#source.declaration, data))
  }

  stream (event: string, head: object, options?: StreamOptions): OpeningWriter {
    return new OpeningWriter(async (onMade) =>
      await this.#source.rooms.texts.open(this.name, event, head, signalOption(options), onMade))
  }

  cancel (event: string, key: string | number): Promise<void> {
    return this.#told(this.#source.rooms.texts.cancel(this.name, event, key), 'room.cancel failed', event)
  }
}

/** The context that every handler of a room gets. Costly parts are made when they are first used. */
export class RoomContext implements Public.RoomContext<Params, Events> {
  readonly params: Params
  readonly user: User
  readonly userId: string
  readonly sender: string | undefined
  readonly messageId: string | undefined
  readonly #source: ContextSource
  #room: Handle | undefined
  #log: FastifyBaseLogger | undefined

  constructor (source: ContextSource) {
    this.#source = source
    this.params = source.params
    // The application has declared `User` as what its `authenticate` returns.
    this.user = source.user as User
    this.userId = source.userId
    this.sender = source.sender
    this.messageId = source.messageId
  }

  get room (): Handle { return (this.#room ??= new Handle(this.#source)) }

  get log (): FastifyBaseLogger {
    return (this.#log ??= (this.#source.declaration.log as FastifyBaseLogger).child({
      room: this.#source.name,
      connectionId: this.sender
    }))
  }
}

export class MessageContext extends RoomContext implements Public.MessageContext<Params, Events, unknown> {
  readonly data: unknown
  readonly #message: MessageSource
  #signal: HandlerSignal | undefined
  #isOver = false

  /** @param data as its schema has made it */
  constructor (source: MessageSource, data: unknown) {
    super(source)
    this.data = data
    this.#message = source
  }

  get signal (): AbortSignal {
    if (this.#signal === undefined) {
      this.#signal = new HandlerSignal()
      if (!this.#isOver) this.#signal.follow((giveUp) => this.#message.whenGone(giveUp))
    }
    return this.#signal.signal
  }

  giveUp (why: Refusal): void { if (!this.#isOver) (this.#signal ??= new HandlerSignal()).giveUp(why) }

  /** The handler has ended. */
  over (): void {
    this.#isOver = true
    this.#signal?.stop()
  }

  /** Says why the handler threw `error`, where it did so because it was given up. */
  reasonOf (error: unknown): Refusal | undefined {
    return this.#signal?.isReasonOf(error) === true ? this.#signal.given : undefined
  }
}

export class JoinContext extends RoomContext implements Public.JoinContext<Params, Events> {
  readonly resumed: boolean
  readonly connection: Public.Connection<Events>
  constructor (
    source: ContextSource,
    resumed: boolean,
    { send, show }: { readonly send: (packet: Packet) => void, readonly show: (data: unknown) => Promise<void> }
  ) {
    super(source)
    this.resumed = resumed
    const { declaration, rooms, name } = source
    this.connection = {
      id: source.sender!,
      send: (event, data) => { send(rooms.publications.direct(declaration, name, event, data)) },
      presence: (data) => {
        const shown = async (): Promise<void> => { await show(checkUpdate(declaration, data)) }
        return rooms.told(shown(), 'connection.presence failed', { room: name })
      }
    }
  }
}

export class LeaveContext extends RoomContext implements Public.LeaveContext<Params, Events> {
  readonly code: string
  readonly connection: { readonly id: string }
  constructor (source: ContextSource, code: string) {
    super(source)
    this.code = code
    this.connection = { id: source.sender! }
  }
}
