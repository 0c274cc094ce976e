import type { Publication, Published, RoomSettings } from '../adapter.js'
import { Undecodable } from '../broker/decode.js'
import type { MemoryAdapter } from '../memory/adapter.js'
import type { End } from '../memory/presence.js'
import { boundOf, fieldsOf, listOf, maybe, nameOf, numberOf, textOf } from './checks.js'
import type { SharedSlots } from './shared-slots.js'
import { readPublication, readQuery, readSettings, readWhich, readWrite, writePacket, writePage } from './wire.js'

/** What the calls of one worker act on. */
export interface Served {
  readonly core: MemoryAdapter
  readonly slots: SharedSlots
  /** By which what the worker holds is known to be its. */
  readonly by: unknown
  /** The time of day, by which denials end. */
  readonly unix: () => number
  /** The secret of all workers: the first that was proposed. */
  secret (proposed: string): string
  /** The end of what is held until so many milliseconds after the worker has gone. */
  lasting (lease: number): End
  /** The same, but that what is held for a short time ends when it is over, unless it is renewed. */
  endOf (lease: number): End
  subscribe (room: string, settings: RoomSettings): unknown
  unsubscribe (room: string): void
  publish (room: string, publication: Publication, settings: RoomSettings): Omit<Published, 'recipients'>
  /** Passes a message on to the other workers. */
  tell (message: unknown): void
}

type Call = (served: Served, args: readonly unknown[]) => unknown

const entryOf = (value: unknown): { connection: string, userId: string, data?: unknown } => {
  const { connection, userId, data } = fieldsOf(value)
  return { connection: nameOf(connection), userId: nameOf(userId), ...(data === undefined ? {} : { data }) }
}

const knownOf = (value: unknown): ReturnType<typeof readWhich> & { version: number, begun: number, to: number } => {
  const { version, begun, to } = fieldsOf(value)
  return { ...readWhich(value), version: numberOf(version), begun: numberOf(begun), to: numberOf(to) }
}

const pairOf = (value: unknown): [key: string, holder: string] => {
  const [key, holder] = listOf(value)
  return [nameOf(key), nameOf(holder)]
}

/** All that a worker may ask. Each reads its arguments, which came by the channel, and answers at once. */
const CALLS: Readonly<Record<string, Call>> = {
  subscribe: (served, [room, settings]) => served.subscribe(nameOf(room), readSettings(settings)),
  unsubscribe: (served, [room]) => { served.unsubscribe(nameOf(room)) },
  publish: (served, [room, publication, settings]) =>
    served.publish(nameOf(room), readPublication(publication), readSettings(settings)),
  history: ({ core }, [room, query, settings]) =>
    writePage(core.history(nameOf(room), readQuery(query), readSettings(settings))),
  clear: ({ core }, [room, settings]) => {
    const [name, read] = [nameOf(room), readSettings(settings)]
    core.clear(name, read)
    return read.history === false ? undefined : core.history(name, { last: 0, limit: 0 }, read).top.offset
  },
  latest: ({ core }, [room]) => core.latest(nameOf(room)).map(writePacket),
  write: ({ core }, [room, step, settings]) => core.texts.write(nameOf(room), readWrite(step), readSettings(settings)),
  read: ({ core }, [room, settings, which]) =>
    core.texts.read(nameOf(room), readSettings(settings), maybe(which, readWhich)),
  check: ({ core }, [room, known, settings]) =>
    core.texts.check(nameOf(room), listOf(known).map(knownOf), readSettings(settings)),
  missing: ({ core }, [room, texts, settings]) =>
    core.texts.missing(nameOf(room), listOf(texts).map(readWhich), readSettings(settings)),
  join: ({ core, lasting }, [room, entry, lease]) => {
    core.presence.join(nameOf(room), entryOf(entry), 0, lasting(boundOf(lease)))
  },
  leave: ({ core, by }, [room, entry, grace]) => {
    core.presence.leave(nameOf(room), entryOf(entry), boundOf(grace), by)
  },
  succeed: ({ core, by }, [room, userId, former]) =>
    core.presence.succeed(nameOf(room), nameOf(userId), listOf(former).map(nameOf), by),
  update: ({ core }, [room, user]) => {
    const { userId, data } = fieldsOf(user)
    return core.presence.update(nameOf(room), { userId: nameOf(userId), ...(data === undefined ? {} : { data }) })
  },
  present: ({ core }, [room, userId]) => core.presence.isPresent(nameOf(room), nameOf(userId)),
  snapshot: ({ core }, [room, limit]) => core.presence.snapshot(nameOf(room), boundOf(limit)),
  pass: ({ core }, [room]) => { core.presence.pass(nameOf(room)) },
  acquire: ({ slots, endOf }, [key, holder, limit, ttl]) =>
    slots.acquire(nameOf(key), nameOf(holder), boundOf(limit), endOf(boundOf(ttl))),
  renew: ({ slots, endOf }, [leases, ttl]) => {
    const end = endOf(boundOf(ttl))
    for (const each of listOf(leases)) slots.renew(...pairOf(each), end)
  },
  release: ({ slots, by }, [key, holder]) => { slots.release(nameOf(key), nameOf(holder), by) },
  count: ({ slots }, [key]) => slots.count(nameOf(key)),
  claim: ({ core }, [key, hash, lease, owner, holder]) =>
    core.claims.claim(nameOf(key), nameOf(hash), boundOf(lease), maybe(owner, nameOf), maybe(holder, nameOf)),
  settle: ({ core }, [key, hash, outcome, ttl, owner, holder]) => core.claims.settle(
    nameOf(key), nameOf(hash), maybe(outcome, textOf), boundOf(ttl), maybe(owner, nameOf), maybe(holder, nameOf)
  ),
  put: ({ core }, [key, value, ttl]) => core.claims.put(nameOf(key), textOf(value), boundOf(ttl)),
  take: ({ core }, [key]) => core.claims.take(nameOf(key)),
  // How long it lasts is what counts: the clock of who asks may have been set since.
  deny: ({ core, unix }, [subject, ms, version]) =>
    core.denials.deny(nameOf(subject), unix() + boundOf(ms), maybe(version, numberOf)),
  version: ({ core }, [subject]) => core.denials.version(nameOf(subject)),
  denied: ({ core }, [subjects]) => core.denials.isDenied(listOf(subjects).map(nameOf)),
  control: ({ tell }, [message]) => { tell(fieldsOf(message)) },
  secret: ({ secret }, [proposed]) => secret(nameOf(proposed))
}

/**
 * Runs one call of a worker.
 *
 * @throws Undecodable
 */
export function serve (served: Served, method: unknown, args: readonly unknown[]): unknown {
  if (typeof method !== 'string' || !Object.hasOwn(CALLS, method)) throw new Undecodable('a call')
  return CALLS[method]!(served, args)
}
