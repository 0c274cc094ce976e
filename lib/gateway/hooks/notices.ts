import { randomUUID } from 'node:crypto'
import { Pauses } from '../../structures/pauses.js'
import { textBytes } from '../../structures/text-bytes.js'
import { after } from '../../structures/timers.js'
import type { HookName } from '../config/schema.js'
import { bodyOf, keyOf, type Backend } from './backend.js'
import { HookFailure } from './failure.js'

/** Something that a backend is told, and that needs no answer. */
interface Notice {
  readonly id: string
  readonly hook: HookName
  readonly body: string
  readonly bytes: number
  readonly since: number
  isUnderWay: boolean
}

/** Notices of one user stay in order in their lane; lanes go on beside each other. */
const LANES = 8
/** Bytes of all notices that wait. */
const BYTES = 67_108_864
/** Milliseconds for which a notice is tried. */
const AGE = 600_000
/** The longest wait between two tries, in milliseconds. */
const LONGEST = 30_000

/** Tells a backend who joined, left, came and went: in order for each user, again until it has heard of it. */
export class Notices {
  readonly #backend: Backend
  readonly #lanes: ReadonlyArray<Set<Notice>> = Array.from({ length: LANES }, () => new Set<Notice>())
  readonly #running = new Set<Set<Notice>>()
  readonly #pauses = new Pauses()
  #size = 0
  #bytes = 0
  #isOver = false
  #onEmpty: (() => void) | undefined

  constructor (backend: Backend) {
    this.#backend = backend
  }

  get size (): number { return this.#size }

  add (hook: HookName, userId: string, data: object): void {
    const { settings: { queue }, counts } = this.#backend
    const body = bodyOf(hook, data)
    const bytes = textBytes(body)
    this.#bytes += bytes
    this.#size++
    while ((this.#size > queue || this.#bytes > BYTES) && this.#dropOldest()) continue
    const lane = this.#lanes[laneOf(userId)]!
    lane.add({ id: `msg_${randomUUID()}`, hook, body, bytes, since: performance.now(), isUnderWay: false })
    counts.waits(1)
    if (!this.#running.has(lane)) void this.#run(lane)
  }

  /** Resolves with the number of notices that could not be delivered within the time. */
  async close (timeout: number): Promise<number> {
    if (this.#size > 0) {
      await new Promise<void>((resolve) => {
        const timer = after(resolve, timeout)
        this.#onEmpty = () => {
          clearTimeout(timer)
          resolve()
        }
        this.#pauses.wake()
      })
    }
    this.#isOver = true
    this.#pauses.end()
    return this.#size
  }

  async #run (lane: Set<Notice>): Promise<void> {
    this.#running.add(lane)
    for (let tries = 0; !this.#isOver;) {
      const [notice] = lane
      if (notice === undefined) break
      const wait = await this.#tell(notice, lane, tries)
      tries = wait === undefined ? 0 : tries + 1
      if (wait !== undefined) await this.#pauses.wait(wait)
    }
    this.#running.delete(lane)
    if (this.#size === 0) this.#onEmpty?.()
  }

  /** @returns milliseconds until the notice is tried again; `undefined` where it is over */
  async #tell (notice: Notice, lane: Set<Notice>, tries: number): Promise<number | undefined> {
    const { hook, id, body, since } = notice
    const { settings, counts, times } = this.#backend
    notice.isUnderWay = true
    const start = performance.now()
    try {
      const { status } = await this.#backend.send(id, body, settings.timeout)
      counts.ended(hook, status < 300 ? 'ok' : 'refused', (performance.now() - start) / 1_000)
      if (status >= 300) {
        const says = 'a backend does not want to be told of this: leave the hook out of "on"'
        this.#backend.warnings.warn(keyOf(hook, 'refused'), { hook, status }, says)
      }
      this.#over(notice, lane)
      return undefined
    } catch (error) {
      const failure = this.#failed(hook, error)
      if (performance.now() - since > AGE) {
        this.#dropped(hook)
        this.#over(notice, lane)
        return undefined
      }
      const own = Math.min(LONGEST, times.again * 2 ** tries) * (0.5 + Math.random())
      return failure.reason === 'open' ? failure.retryAfter! : Math.max(failure.retryAfter ?? 0, own)
    } finally {
      notice.isUnderWay = false
    }
  }

  /** An open circuit is no failure of its own. */
  #failed (hook: HookName, error: unknown): HookFailure {
    return error instanceof HookFailure && error.reason === 'open' ? error : this.#backend.failed(hook, error)
  }

  /** @returns whether there was one that is not under way */
  #dropOldest (): boolean {
    let oldest: { notice: Notice, lane: Set<Notice> } | undefined
    for (const lane of this.#lanes) {
      for (const notice of lane) {
        if (notice.isUnderWay) continue
        if (oldest === undefined || notice.since < oldest.notice.since) oldest = { notice, lane }
        break
      }
    }
    if (oldest === undefined) return false
    this.#dropped(oldest.notice.hook)
    this.#over(oldest.notice, oldest.lane)
    return true
  }

  #dropped (hook: HookName): void {
    const { counts, warnings, settings: { queue } } = this.#backend
    counts.ended(hook, 'dropped')
    const says = 'a backend was not told of something, because it has not answered for too long'
    warnings.warn(keyOf(hook, 'dropped'), { hook, queue }, says)
  }

  #over (notice: Notice, lane: Set<Notice>): void {
    if (!lane.delete(notice)) return
    this.#size--
    this.#bytes -= notice.bytes
    this.#backend.counts.waits(-1)
  }
}

function laneOf (userId: string): number {
  let sum = 0
  for (let i = 0; i < userId.length; i++) sum = (sum * 31 + userId.charCodeAt(i)) % LANES
  return sum
}
