import { randomUUID } from 'node:crypto'
import { textBytes } from '../../structures/text-bytes.js'
import { after } from '../../structures/timers.js'
import type { HookName } from '../config/schema.js'
import { bodyOf, keyOf, type Backend } from './backend.js'
import { HookFailure } from './failure.js'

/** What waits for one user, which is told in order. */
interface Line {
  readonly userId: string
  readonly notices: Set<Notice>
  /** Tries of the first one that have failed. */
  tries: number
  /** Until its next try. */
  timer: NodeJS.Timeout | undefined
}

/** Something that a backend is told, and that needs no answer. */
interface Notice {
  readonly line: Line
  readonly id: string
  readonly hook: HookName
  readonly body: string
  readonly bytes: number
  readonly since: number
  isUnderWay: boolean
}

/** Bytes of all notices that wait. */
const BYTES = 67_108_864
/** Milliseconds for which a notice is tried. */
const AGE = 600_000
/** The longest wait between two tries, in milliseconds. */
const LONGEST = 30_000

/**
 * Tells a backend who joined, left, came and went: in order for each user, again until it has heard of it. What fails
 * for one user holds up nobody else.
 */
export class Notices {
  readonly #backend: Backend
  /** Oldest first. */
  readonly #notices = new Set<Notice>()
  /** By user. */
  readonly #lines = new Map<string, Line>()
  /** Lines whose first notice may be sent now. */
  readonly #ready = new Set<Line>()
  #underWay = 0
  /** While the circuit is open nobody is asked for; one wait is for all lines. */
  #paused: NodeJS.Timeout | undefined
  #bytes = 0
  #isOver = false
  #onEmpty: (() => void) | undefined

  constructor (backend: Backend) {
    this.#backend = backend
  }

  get size (): number { return this.#notices.size }

  add (hook: HookName, userId: string, data: object): void {
    const { settings: { queue }, counts } = this.#backend
    const body = bodyOf(hook, data)
    const bytes = textBytes(body)
    this.#bytes += bytes
    while ((this.size >= queue || this.#bytes > BYTES) && this.#dropOldest()) continue
    const line = this.#lineOf(userId)
    const notice = { line, id: `msg_${randomUUID()}`, hook, body, bytes, since: performance.now(), isUnderWay: false }
    line.notices.add(notice)
    this.#notices.add(notice)
    counts.waits(1)
    this.#run()
  }

  #lineOf (userId: string): Line {
    let line = this.#lines.get(userId)
    if (line === undefined) {
      line = { userId, notices: new Set(), tries: 0, timer: undefined }
      this.#lines.set(userId, line)
      this.#ready.add(line)
    }
    return line
  }

  /** Resolves with the number of notices that could not be delivered within the time. */
  async close (timeout: number): Promise<number> {
    if (this.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = after(resolve, timeout)
        this.#onEmpty = () => {
          clearTimeout(timer)
          resolve()
        }
        this.#resume()
        for (const line of this.#lines.values()) if (line.timer !== undefined) this.#isReady(line)
        this.#run()
      })
    }
    this.#isOver = true
    this.#resume()
    for (const { timer } of this.#lines.values()) clearTimeout(timer)
    return this.size
  }

  /** Sends as much as may be under way. */
  #run (): void {
    for (const line of this.#ready) {
      if (this.#isOver || this.#paused !== undefined || this.#underWay === this.#backend.notices) return
      this.#ready.delete(line)
      void this.#next(line)
    }
  }

  /** Tells of the first notice of a line. Never rejects. */
  async #next (line: Line): Promise<void> {
    const [notice] = line.notices
    this.#underWay++
    const wait = await this.#tell(notice!)
    this.#underWay--
    if (wait === 'open') {
      if (line.notices.size > 0) this.#ready.add(line)
    } else if (wait === undefined) {
      line.tries = 0
      // The others go first.
      if (line.notices.size > 0) this.#ready.add(line)
    } else if (!this.#isOver && line.notices.size > 0) {
      line.tries++
      line.timer = after(() => {
        this.#isReady(line)
        this.#run()
      }, wait)
    }
    this.#run()
  }

  #pause (wait: number): void {
    this.#paused ??= after(() => {
      this.#resume()
      this.#run()
    }, wait)
  }

  #resume (): void {
    clearTimeout(this.#paused)
    this.#paused = undefined
  }

  #isReady (line: Line): void {
    clearTimeout(line.timer)
    line.timer = undefined
    this.#ready.add(line)
  }

  /** @returns milliseconds until the notice is tried again, `open` where the circuit says; nothing where it is over */
  async #tell (notice: Notice): Promise<number | 'open' | undefined> {
    const { hook, id, body, since, line: { userId, tries } } = notice
    const { settings, counts, times } = this.#backend
    notice.isUnderWay = true
    const start = performance.now()
    try {
      const { status } = await this.#backend.send(id, userId, body, settings.timeout, true)
      counts.ended(hook, status < 300 ? 'ok' : 'refused', (performance.now() - start) / 1_000)
      if (status >= 300) {
        const says = 'a backend does not want to be told of this: leave the hook out of "on"'
        this.#backend.warnings.warn(keyOf(hook, 'refused'), { hook, status }, says)
      }
      this.#over(notice)
      return undefined
    } catch (error) {
      const failure = this.#failed(hook, error)
      if (performance.now() - since > AGE) {
        this.#dropped(hook)
        this.#over(notice)
        return undefined
      }
      if (failure.reason === 'open') {
        this.#pause(failure.retryAfter!)
        return 'open'
      }
      const own = Math.min(LONGEST, times.again * 2 ** tries) * (0.5 + Math.random())
      return Math.max(failure.retryAfter ?? 0, own)
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
    for (const notice of this.#notices) {
      if (notice.isUnderWay) continue
      this.#dropped(notice.hook)
      this.#over(notice)
      return true
    }
    return false
  }

  #dropped (hook: HookName): void {
    const { counts, warnings, settings: { queue } } = this.#backend
    counts.ended(hook, 'dropped')
    const says = 'a backend was not told of something, because it has not answered for too long'
    warnings.warn(keyOf(hook, 'dropped'), { hook, queue }, says)
  }

  #over (notice: Notice): void {
    if (!this.#notices.delete(notice)) return
    const { line, bytes } = notice
    line.notices.delete(notice)
    this.#bytes -= bytes
    this.#backend.counts.waits(-1)
    if (line.notices.size === 0) {
      clearTimeout(line.timer)
      this.#lines.delete(line.userId)
      this.#ready.delete(line)
    }
    if (this.size === 0) this.#onEmpty?.()
  }
}
