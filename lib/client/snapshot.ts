import type { Position } from '../protocol/position.js'
import { backoff } from './backoff.js'
import { broken, failure, refused } from './errors.js'
import { handleOf } from './handle.js'
import type { Frame, FrameData } from './links/link.js'
import type { Handle } from './room-types.js'
import { after } from './timers.js'
import type { Loaded } from './types.js'

/** Events that are held while a state is loaded; of more, those with a position are read again. */
const HELD = 1_000
/** Milliseconds of random delay before a state is loaded because of a gap, which all clients may have at once. */
const JITTER = 1_000
/** Loads in a row that do not meet the events, after which a snapshot rejects. */
const LOADS = 5

interface Held {
  readonly detail: unknown
  readonly names: readonly string[]
  /** Resolves the promise of who told it. */
  readonly resolve: (value: unknown) => void
}
/** The answer to a question for a room's history. */
interface Past extends FrameData { readonly position: Position, readonly events: readonly Frame[] }

/** The snapshots of one handle: what is loaded, and what is held meanwhile. */
interface Snapshots {
  load: () => Promise<Loaded>
  run (): Promise<Loaded>
}

const all = new WeakMap<Handle, Snapshots>()

const offsetOf = (detail: unknown): number | undefined => (detail as Frame).offset

function positionOf (loaded: Loaded, room: string): Position {
  // Also where nothing was returned, or the state itself.
  const { epoch, offset, headers } = (loaded ?? {}) as Partial<Position & Exclude<Loaded, Position>>
  if (epoch && Number.isInteger(offset)) return loaded as Position
  for (const each of `${headers?.get?.('x-realtime-position')}`.split(',')) {
    const [, name, epoch, offset] = /^(\S+) (\S+):(\d+)$/.exec(each.trim()) ?? []
    if (name === room) return { epoch: epoch!, offset: Number(offset) }
  }
  throw failure(refused('position_missing', `load() returned no position of ${room} in the header x-realtime-position`))
}

function createSnapshots (handle: Handle, load: () => Promise<Loaded>): Snapshots {
  const { room, host, on, emit, enter, public: { name, joined } } = handle
  /** What is not heard while a state is loaded. */
  let held: Held[] | undefined
  /** Where the room was before the first of them. */
  let from: Position | undefined
  /** Whether events were lost since the load began. */
  let isLost = false
  /** Whether events were given up that only another state makes good. */
  let isStale = false
  let isAgain = false
  let running: Promise<unknown> = Promise.resolve()

  /** Gives up what is held and can be read again. */
  const cut = (): void => {
    isStale = true
    from = room.position
    for (const each of held!) if (offsetOf(each.detail) !== undefined) each.resolve(undefined)
    held = held!.filter(({ detail }) => offsetOf(detail) === undefined).slice(-HELD)
  }
  const hold = (): void => {
    if (held) return
    held = []
    from = room.position
    handle.emit = (detail, ...names) => {
      // A question is no part of the state, and its time runs.
      if (names.includes('-')) return emit(detail, ...names)
      if (names.includes('gap')) {
        isLost = true
        cut()
        return []
      }
      return [new Promise((resolve) => {
        held!.push({ detail, names, resolve })
        if (held!.length > HELD) cut()
      })]
    }
  }

  /** Lets the handle hear what it has not heard, but for what the state has already. */
  const release = (state?: Position, past: readonly Frame[] = []): void => {
    const isNew = (detail: unknown): boolean =>
      !state || room.position?.epoch !== state.epoch || !(offsetOf(detail)! <= state.offset)
    const rest = held ?? []
    held = undefined
    handle.emit = (detail, ...names) => {
      // The state may be ahead of the events, until they have passed it.
      if (!state || room.position?.epoch !== state.epoch || room.position.offset >= state.offset) handle.emit = emit
      return isNew(detail) ? emit(detail, ...names) : []
    }
    for (const { type, data, timestamp, offset } of past) emit({ type, data, timestamp, offset }, type, '*')
    for (const { detail, names, resolve } of rest) {
      resolve(isNew(detail) ? Promise.all(emit(detail, ...names)) : undefined)
    }
  }

  /** Reads the events between a state and those that are held. */
  const pastOf = async (state: Position): Promise<Frame[] | undefined> => {
    const past: Frame[] = []
    for (let since = state; since.offset < from!.offset;) {
      if (!room.isIn) return
      const answer = await new Promise<Frame | undefined>((resolve) => { host.ask('history', name, { since }, resolve) })
      const { resumed, events, position } = (answer?.data ?? {}) as Past
      if (answer?.type !== 'ack' || !resumed) return
      past.push(...events)
      since = position
    }
    return past.filter(({ offset }) => offset! <= from!.offset)
  }

  /** Waits, at most until the handle is over. */
  const pause = (wait: number): Promise<void> => new Promise((resolve) => {
    const done = (): void => {
      stop()
      off()
      resolve()
    }
    const stop = after(wait, done)
    const off = on('', done)
  })

  const meet = async (): Promise<Loaded> => {
    for (let count = 1; ; count++) {
      hold()
      await joined
      isLost = false
      const loaded = await snapshots.load()
      const state = positionOf(loaded, name)
      const past = state.epoch === room.position?.epoch ? await pastOf(state) : undefined
      if (handle.end) throw handle.end
      if (past && !isLost) {
        isStale = false
        release(state, past)
        return loaded
      }
      if (count === LOADS) throw failure(refused('unavailable', `the state of ${name} and its events do not meet`))
      await pause(backoff(count))
    }
  }

  /** Loads the state until that succeeds. */
  const again = async (): Promise<void> => {
    if (isAgain) return
    isAgain = isStale = true
    hold()
    await pause(Math.random() * JITTER)
    for (let attempt = 0; !handle.end;) {
      try {
        await snapshots.run()
        break
      } catch (error) {
        if (handle.end) break
        const retryIn = backoff(attempt++)
        host.fail(broken(error, 'load_failed'), { room: name, attempt, retryIn })
        hold()
        await pause(retryIn)
      }
    }
    isAgain = false
  }

  handle.enter = (entered) => {
    from ??= room.position
    enter(entered)
  }
  on('gap', () => { void again() })
  on('', () => { held?.forEach(({ resolve }) => { resolve(undefined) }) })
  const snapshots: Snapshots = {
    load,
    run () {
      hold()
      const run = running.catch(() => {}).then(meet)
      running = run
      return run.catch((error) => {
        release()
        if (isStale) void again()
        throw error
      })
    }
  }
  return snapshots
}

/**
 * Loads a state of the application and lets it meet the events of the room: while `load` runs, the events are held,
 * then the listeners of this handle hear those behind the state, each once. After a `gap` it is loaded again by itself.
 *
 * @param load loads the state, shows it, and returns the answer, whose header `x-realtime-position` is set by
 *   `reply.position(address)`, or the position itself
 * @returns what `load` returned
 * @throws the refusal of the room; what `load` throws; `position_missing`; `unavailable` when the state and the events
 *   do not meet
 */
export async function snapshot<T extends Loaded> (room: object, load: () => Promise<T>): Promise<T> {
  const handle = handleOf(room)
  const snapshots = all.get(handle) ?? createSnapshots(handle, load)
  all.set(handle, snapshots)
  snapshots.load = load
  return await snapshots.run() as T
}

/** Loads the state again that `snapshot` loaded. @throws as `snapshot`, and where there was none */
export async function reload (room: object): Promise<void> {
  const snapshots = all.get(handleOf(room))
  if (!snapshots) throw failure(refused('REALTIME_ERR_OPTIONS', 'snapshot(load) comes before reload()'))
  await snapshots.run()
}
