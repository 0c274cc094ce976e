import type { Awaitable } from '../structures/awaitable.js'
import type { Denials } from '../auth/denials.js'
import type { Identity } from '../connection/identity.js'
import { lateHook } from '../errors/late-hook.js'
import { Refusal } from '../errors/refusal.js'
import type { Hub } from '../rooms/hub.js'
import { ALL, userRoom } from '../rooms/built-in.js'
import type { ResolvedRoom } from '../rooms/declarations.js'
import { isThenable } from '../protocol/thenable.js'
import { within } from '../structures/within.js'

const NONE: readonly string[] = []

/** Whether `name` is a room that only its own user may name. */
function isForeign (name: string, userId: string): boolean {
  return name.startsWith('@') && name !== ALL && name !== userRoom(userId)
}

async function awaited (name: string, definition: string, answer: unknown): Promise<void> {
  const said = await answer
  if (said !== true) {
    throw new Refusal('forbidden', {
      room: name,
      why: {
        definition,
        authorize: typeof said === 'object' && said !== null ? 'an object' : String(said),
        fix: 'authorize decides who may enter: it has to answer true, or a promise of it'
      }
    })
  }
}

/** Knows which rooms were taken from users. */
export type Taken = Pick<Denials, 'checkRoom'>

/** Decides which rooms a user may enter, whatever the transport. */
export class Access {
  readonly #rooms: Hub
  readonly #denials: Taken
  readonly #timeout: number

  /** @param timeout milliseconds that `authorize` may take */
  constructor (rooms: Hub, denials: Taken, timeout: number) {
    this.#rooms = rooms
    this.#denials = denials
    this.#timeout = timeout
  }

  /** Lists the rooms that a user is in from the start, as far as they are declared. */
  builtIn (userId: string): readonly string[] {
    const { declarations } = this.#rooms
    if (!declarations.hasBuiltIn) return NONE
    return [
      ALL,
      userRoom(userId)
    ].filter((name) => name !== undefined && declarations.find(name) !== undefined) as string[]
  }

  /**
   * Checks whether a user may enter; it is called at every entry.
   *
   * @throws Refusal `room_invalid`, `room_unknown` or `forbidden`
   */
  allow (name: string, identity: Identity): Awaitable<ResolvedRoom> {
    const found = this.#rooms.resolve(name)
    const allowed = this.allowFound(name, found, identity)
    return allowed instanceof Promise ? allowed.then(() => found) : found
  }

  /**
   * Does the same for a room that was resolved before.
   *
   * @throws Refusal `forbidden`
   */
  allowFound (name: string, found: ResolvedRoom, identity: Identity): Awaitable<void> {
    if (isForeign(name, identity.userId)) {
      throw new Refusal('forbidden', {
        room: name,
        why: { fix: 'only its own user may name a room whose name begins with @' }
      })
    }
    return this.authorize(name, found, identity)
  }

  /**
   * Asks the application whether a user may enter, unless the room was taken from the user.
   *
   * @throws Refusal `forbidden`, `revoked`, `timeout` when it takes too long
   */
  authorize (name: string, found: ResolvedRoom, identity: Identity): Awaitable<void> {
    const checked = this.#denials.checkRoom(identity, name)
    return checked instanceof Promise
      ? checked.then(() => this.#asked(name, found, identity))
      : this.#asked(name, found, identity)
  }

  #asked (name: string, { declaration, params }: ResolvedRoom, { user, userId }: Identity): Awaitable<void> {
    if (declaration.authorize === undefined) return
    const answer = declaration.authorize({ user, userId, params })
    if (answer === true) return
    const timeout = this.#timeout
    const settled = isThenable(answer)
      ? within(timeout, Promise.resolve(answer), () => lateHook('authorize', name, timeout))
      : answer
    return awaited(name, declaration.pattern.source, settled)
  }
}
