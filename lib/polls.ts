import type { Control } from './adapters/adapter.js'
import type { Connection } from './connection/connection.js'
import type { Admitted } from './admission.js'
import type { Entered, Peer } from './dispatch.js'
import type { Refusal } from './errors.js'
import type { Packet } from './protocol/codec.js'
import type { Membership } from './rooms/room.js'
import type { Rooms } from './rooms/rooms.js'
import type { Slots } from './slots.js'
import { CursorTrack } from './transports/cursor-track.js'
import { PollLink } from './transports/polling.js'

/** The answer of a poll. */
export interface PollAnswer {
  readonly connectionId: string
  readonly cursor: string
  readonly resumed: boolean
  readonly rooms: Readonly<Record<string, unknown>>
  readonly frames: readonly unknown[]
}

export interface PollsOptions {
  readonly rooms: Rooms
  readonly slots: Slots
  readonly control: Control | undefined
  /** milliseconds that a connection outlives its last answer */
  readonly grace: number
  readonly now: () => number
  readonly onError: (error: unknown) => void
}

interface OpenPoll { readonly link: PollLink, readonly finish: (answer: PollAnswer | Refusal) => void, readonly unconsumed: () => PollAnswer }

/** Connections that poll: between two polls they are parked, and each poll goes on from where its cursor says. */
export class Polls {
  readonly #options: PollsOptions
  readonly #open = new Map<Peer, OpenPoll>()

  constructor (options: PollsOptions) {
    this.#options = options
  }

  /**
   * The first poll of a connection, whose rooms were entered with `open`; or a next one, whose memberships are taken up again.
   *
   * @param wait milliseconds that the answer may wait for something to say
   * @param enter enters the rooms of a connection that is new here; frames go to the given link
   */
  async run (connection: Peer, { cursor, cursorRooms, entries, known }: Admitted, wait: number, enter: () => Promise<readonly Entered[]>, gone: (callback: () => void) => void): Promise<PollAnswer | Refusal> {
    this.#end(connection)
    const track = new CursorTrack(connection.id, cursorRooms)
    const before = (): PollAnswer => ({ connectionId: connection.id, cursor: track.toString(), resumed: true, rooms: {}, frames: [] })
    return await new Promise<PollAnswer | Refusal>((resolve, reject) => {
      let rooms: Record<string, unknown> = {}
      let isResumed = true
      const finish = (answer: PollAnswer | Refusal): void => {
        this.#open.delete(connection)
        resolve(answer)
      }
      const link = new PollLink({
        wait,
        answer: () => {
          if (connection.ending !== undefined) return finish(connection.ending)
          const packets = connection.outbox?.take() ?? []
          for (const packet of packets) track.see(packet)
          const frames = packets.map(parse)
          this.#park(connection, cursorRooms)
          finish({ connectionId: connection.id, cursor: track.toString(), resumed: isResumed, rooms, frames })
        }
      })
      this.#open.set(connection, { link, finish, unconsumed: before })
      gone(() => {
        if (this.#open.get(connection)?.link !== link) return
        link.abandon()
        this.#park(connection, cursorRooms)
        finish(before())
      })
      for (const { name, request } of entries) track.begin(name, request)
      connection.endsAt = Number.POSITIVE_INFINITY
      connection.attach(link)
      const isMoved = known === undefined && cursor?.connection === connection.id
      const entering = known === undefined ? this.#enter(connection, enter, isMoved) : this.#resume(connection, entries)
      entering.then(({ entered, starts }) => {
        if (this.#open.get(connection)?.link !== link) return
        const isFirst = cursor === undefined
        let hasNews = isFirst
        // A room may be named `__proto__`.
        rooms = Object.create(null) as Record<string, unknown>
        for (const result of entered) {
          if ('refusal' in result) {
            hasNews = true
            continue
          }
          const { name, data } = result
          rooms[name] = data
          if (data.resumed !== true) {
            if (!isFirst) isResumed = false
            hasNews ||= data.resumed === false
          }
          if (data.members !== undefined) hasNews = true
          track.enter(name, data)
        }
        if (isFirst) isResumed = entered.every((result) => 'data' in result && result.data.resumed === true)
        for (const start of starts) start()
        if (hasNews) link.pending()
        link.start()
      }, (error: Error) => {
        if (this.#open.get(connection)?.link === link) {
          link.abandon()
          this.#open.delete(connection)
          this.#park(connection, cursorRooms)
        }
        reject(error)
      })
    })
  }

  async #enter (connection: Peer, enter: () => Promise<readonly Entered[]>, isMoved: boolean): Promise<{ entered: readonly Entered[], starts: Array<() => void> }> {
    const entered = await enter()
    // The node that was polled before holds slots and presence under the same names, and would give up what is held here.
    if (isMoved) await this.#options.control?.send({ type: 'moved', user: connection.userId, connection: connection.id }).catch(this.#options.onError)
    return { entered, starts: [] }
  }

  /** It polls another node now: nothing of it is left here, and nothing is given up that it holds there. */
  moved (connection: Peer): void {
    const { rooms, slots } = this.#options
    slots.handOver(connection.id)
    for (const membership of connection.rooms.all()) rooms.handOver(membership)
    this.#end(connection)
    connection.finish('gone')
  }

  async #resume (connection: Peer, entries: Admitted['entries']): Promise<{ entered: Entered[], starts: Array<() => void> }> {
    const starts: Array<() => void> = []
    const entered: Entered[] = []
    for (const { name, request } of entries) {
      const membership = connection.rooms.get(name)
      if (membership === undefined) continue
      const { data, start } = await this.#options.rooms.rejoin(membership, request)
      entered.push({ name, data })
      starts.push(start)
    }
    return { entered, starts }
  }

  #park (connection: Connection<Membership>, cursorRooms: readonly string[]): void {
    for (const membership of connection.rooms.all()) {
      // A join by the server lasts for one answer: the cursor cannot name it.
      if (cursorRooms.includes(membership.name)) membership.park()
      else this.#options.rooms.leave(membership, true)
    }
    connection.detach()
    connection.endsAt = this.#options.now() + this.#options.grace
  }

  /** A second poll of a connection ends the first, whose events go to the second. */
  #end (connection: Peer): void {
    const open = this.#open.get(connection)
    if (open === undefined) return
    open.link.abandon()
    const answer = open.unconsumed()
    for (const membership of connection.rooms.all()) membership.park()
    connection.detach()
    open.finish(answer)
  }
}

function parse (packet: Packet): unknown {
  return JSON.parse(packet.payload.toString())
}
