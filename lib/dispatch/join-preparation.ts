import type { Awaitable } from '../structures/awaitable.js'
import { JoinContext, update, type ContextSource } from './contexts.js'
import type { Peer } from '../admission/peer.js'
import { lateHook } from '../errors/late-hook.js'
import { Refusal } from '../errors/refusal.js'
import type { Packet } from '../protocol/packet.js'
import type { Declaration } from '../rooms/declaration.js'
import type { Hub } from '../rooms/hub.js'
import type { ResolvedRoom } from '../rooms/declarations.js'
import { outgoing } from '../rooms/fitting.js'
import type { PendingJoin, JoinRequest } from '../rooms/joining.js'
import type { JoinData } from '../protocol/server-frames.js'
import { memberDataOf } from '../rooms/member-data.js'
import type { Membership } from '../rooms/membership.js'
import { after } from '../structures/timers.js'

/** A connection that enters a room, with the parts that are needed for that. */
export interface Entrant {
  readonly id: string
  readonly userId: string
  readonly user: unknown
  readonly isOpen: boolean
  sendKept (packet: Packet): void
}

/** A join that only has to be committed. */
export interface PreparedJoin {
  readonly name: string
  readonly joining: PendingJoin
  /** What `onJoin` sent to the entrant; it goes out behind the replay. */
  readonly held: Packet[] | undefined
}

/** A member whose ack is still to be sent; `start` lets its events in behind it. */
export interface Entered { readonly membership: Membership, readonly data: JoinData, readonly start: () => void }

/** Makes the source of the contexts that the application's callbacks get for a member. */
export function sourceOf (
  rooms: Hub,
  { id, user, userId }: Omit<Entrant, 'sendKept' | 'isOpen'>,
  name: string,
  { declaration, params }: ResolvedRoom
): ContextSource {
  return { rooms, declaration, name, params, user, userId, sender: id, messageId: undefined }
}

/** Does the parts of a join that may have to wait, up to its ack: the subscription, `onJoin`, presence. */
export class JoinPreparation {
  readonly #rooms: Hub
  readonly #validateOutput: boolean
  readonly #timeout: number
  readonly #failed: (error: unknown, room: string, entrant: Entrant) => void
  /** Rooms whose `onJoin` runs, by connection. */
  readonly #greeting = new Map<string, Set<string>>()
  /** What ends the waits for hooks of the application, by who enters. */
  readonly #waits = new Map<Entrant, Set<() => void>>()

  /**
   * @param timeout milliseconds that a hook may take
   * @param failed is told what a hook throws when nobody waits for it any more
   */
  constructor (
    rooms: Hub,
    { timeout, validateOutput }: { readonly timeout: number, readonly validateOutput: boolean },
    failed: (error: unknown, room: string, entrant: Entrant) => void
  ) {
    this.#rooms = rooms
    this.#validateOutput = validateOutput
    this.#timeout = timeout
    this.#failed = failed
  }

  /** @param begun is called when `onJoin` begins */
  enter (
    entrant: Entrant,
    name: string,
    found: ResolvedRoom,
    request: JoinRequest,
    begun?: () => void
  ): Awaitable<PreparedJoin> {
    const { declaration: { onJoin, hasPresence } } = found
    const joining = this.#rooms.join(name, found, request, entrant.userId)
    if (joining instanceof Promise || onJoin !== undefined || hasPresence) {
      return this.#later(entrant, name, found, joining, begun)
    }
    return { name, joining, held: undefined }
  }

  async #later (
    entrant: Entrant,
    name: string,
    found: ResolvedRoom,
    join: Awaitable<PendingJoin>,
    begun?: () => void
  ): Promise<PreparedJoin> {
    const { declaration } = found
    const joining = await join
    try {
      const source = sourceOf(this.#rooms, entrant, name, found)
      const held: Packet[] = []
      let send = (packet: Packet): void => { held.push(packet) }
      /** What `onJoin` has shown of the user; it is kept for the announcement. */
      let early: { readonly data: unknown } | undefined
      let show = async (data: unknown): Promise<void> => { early = { data } }
      if (declaration.onJoin !== undefined) {
        const context = new JoinContext(source, joining.resumed === true, {
          send: (packet) => { send(packet) },
          show: (data) => show(data)
        })
        begun?.()
        await this.#greet(entrant.id, name, () => this.#asked(entrant, name, 'onJoin', () => declaration.onJoin!(context)))
        send = (packet) => { entrant.sendKept(packet) }
      }
      // A connection that is gone or was removed meanwhile is not announced to the other members.
      if (!entrant.isOpen) throw hasGone()
      if (declaration.hasPresence) {
        const given: { readonly data: unknown } | undefined = early
        const data = given === undefined
          ? await this.#asked(entrant, name, 'presence', () => this.#memberData(declaration, source))
          : given.data
        show = async (later) => { await update(source, later) }
        if (!entrant.isOpen) throw hasGone()
        await joining.announce({
          userId: entrant.userId,
          connection: entrant.id,
          ...(data === undefined ? {} : { data })
        })
        // Another connection of the user may be shown already, otherwise.
        if (given !== undefined) await update(source, data)
      }
      return { name, joining, held: held.length === 0 ? undefined : held }
    } catch (error) {
      joining.cancel()
      throw error
    }
  }

  /**
   * Gives up the joins of a connection that has ended: a hook of the application may never settle, and until then its
   * rooms would stay open, and those beside would show the user.
   */
  gone (entrant: Entrant): void { for (const giveUp of this.#waits.get(entrant) ?? []) giveUp() }

  /**
   * Waits for a hook of the application for as long as the entrant is there, and a handler may take.
   *
   * @throws Refusal once the entrant is gone, or the hook is late
   */
  async #asked<T> (
    entrant: Entrant,
    name: string,
    hook: 'onJoin' | 'presence',
    run: () => Awaitable<T>
  ): Promise<T> {
    if (!entrant.isOpen) throw hasGone()
    const waits = this.#waits.get(entrant) ?? new Set<() => void>()
    this.#waits.set(entrant, waits)
    let giveUp = (): void => {}
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<T>((resolve, reject) => {
        let isWaiting = true
        const end = (why: Refusal): void => {
          isWaiting = false
          reject(why)
        }
        giveUp = () => { end(hasGone()) }
        waits.add(giveUp)
        timer = after(() => { end(lateHook(hook, name, this.#timeout)) }, this.#timeout)
        void (async () => await run())().then(resolve, (error: unknown) => {
          if (isWaiting) reject(error)
          else this.#failed(error, name, entrant)
        })
      })
    } finally {
      clearTimeout(timer)
      waits.delete(giveUp)
      if (waits.size === 0) this.#waits.delete(entrant)
    }
  }

  /** Whether `onJoin` runs for a connection, in this room or, without a room, in any. */
  isGreeting (connection: string, room?: string): boolean {
    const rooms = this.#greeting.get(connection)
    return rooms !== undefined && (room === undefined || rooms.has(room))
  }

  async #greet (connection: string, room: string, onJoin: () => Awaitable<unknown>): Promise<void> {
    const rooms = this.#greeting.get(connection) ?? new Set<string>()
    this.#greeting.set(connection, rooms.add(room))
    try {
      await onJoin()
    } finally {
      rooms.delete(room)
      if (rooms.size === 0) this.#greeting.delete(connection)
    }
  }

  async #memberData (declaration: Declaration, { user, userId, params }: ContextSource): Promise<unknown> {
    const data = await declaration.presence?.({ user, userId, params })
    const { member, pattern: { source } } = declaration
    return memberDataOf(
      member === undefined ? data : outgoing(member, data, this.#validateOutput, 'member data', source),
      source
    )
  }
}

function hasGone (): Refusal { return new Refusal('timeout', { message: 'the connection has gone' }) }

/** Makes the entrant a member, as the last step of a join. */
export function commit (connection: Peer, { joining, held }: PreparedJoin): Entered {
  const entered = joining.commit(connection)
  entered.membership.held = held
  connection.rooms.add(entered.membership)
  return entered
}
