import { randomBytes } from 'node:crypto'
import type { RoomSettings, TextStore, TextWritten } from '../adapters/adapter.js'
import { isNearly, type LimitWarnings } from '../errors/limit-warnings.js'
import { REALTIME_ERR_STREAM } from '../errors/misuse.js'
import { inPart, isUnavailable, isUncertain, Refusal } from '../errors/refusal.js'
import { insideOf, joined, type TextEnd } from '../protocol/part.js'
import type { Awaitable } from '../structures/awaitable.js'
import { after, every } from '../structures/timers.js'
import type { TextRule } from './declaration.js'
import { outgoing } from './fitting.js'

export interface TextWriterOptions {
  readonly room: string
  readonly type: string
  readonly key: string
  readonly rule: TextRule
  /** The data without the property that grows, and its JSON up to the inside of the text. */
  readonly head: Readonly<Record<string, unknown>>
  readonly before: string
  readonly settings: RoomSettings
  readonly store: TextStore
  /** Milliseconds for which what is written is gathered. */
  readonly flush: number
  /** Bytes of one item. */
  readonly itemLimit: number
  /** Whether parts are checked against the schema. */
  readonly validateOutput: boolean
  readonly limitWarnings?: LimitWarnings | undefined
  /** Whether the server shuts down. */
  readonly isClosed: () => boolean
  readonly onOver: () => void
}

/** Milliseconds without a step after which a writer counts as gone. */
const LEASE = 15_000
/** Characters of one step; a chunk that is longer goes in several. */
const STEP = 65_536
/** Characters that may be accepted and not published yet, before a writer waits. */
const UNPUBLISHED = 65_536
/** Milliseconds for which a step is tried again while the broker is away, and between two tries. */
const PATIENCE = 30_000
const AGAIN = 250
/** The same for the end of a text when the process ends. */
const CLOSING = 1_000
/** Times in a row that the whole is written again, because the broker has lost what was there. */
const REPAIRS = 5

const DONE = Promise.resolve()

/** One who waits until less is unpublished. */
interface Waiter { readonly resolve: () => void, readonly reject: (error: unknown) => void }

/**
 * The one writer of a text. What is written is gathered and goes out in steps, one after the other; a step is tried
 * again until the broker has it, since every step has a number. The writer keeps the whole text, so that it can write
 * it again where a broker has lost data.
 */
export class TextWriter {
  readonly #options: TextWriterOptions
  readonly #token = randomBytes(9).toString('base64url')
  readonly #size: number
  readonly #idle: number
  #number = 0
  /** What was published. */
  #whole = ''
  #length = 0
  /** Characters, or JSON of items, that were accepted and not published yet. */
  #text = ''
  #items: string[] = []
  /** Bytes of everything that was accepted, and characters of what is not published. */
  #bytes = 0
  #unpublished = 0
  readonly #waiters: Waiter[] = []
  #timer: NodeJS.Timeout | undefined
  #renewal: NodeJS.Timeout | undefined
  #publishing: Promise<void> | undefined
  #end: TextEnd | undefined
  /** Why nothing can be written any more. */
  #fault: unknown
  #isOver = false
  #controller: AbortController | undefined
  #patience = PATIENCE
  #steppedAt = performance.now()
  #writtenAt = performance.now()

  constructor (options: TextWriterOptions) {
    this.#options = options
    const { size, ttl } = options.settings.append!
    this.#size = size
    this.#idle = ttl
  }

  /** Aborted when nothing more can be written for another reason than `end`. It is made when it is first read. */
  get signal (): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#fault !== undefined) this.#controller.abort(this.#fault)
    }
    return this.#controller.signal
  }

  get #isList (): boolean { return this.#options.rule.isList }

  /**
   * Takes the key. Where nobody knows whether it is taken, it is asked for again: nobody else gets it while the lease
   * lasts.
   *
   * @throws REALTIME_ERR_STREAM where another writer has it, or its text has ended
   * @throws Refusal `unavailable`, with the outcome `unknown` where it may be taken
   */
  async open (): Promise<void> {
    const { room, type, key } = this.#options
    const written = await this.#step('', 0, undefined)
    if (written !== 'written') {
      throw new REALTIME_ERR_STREAM({
        busy: `"${key}" of event "${type}" of "${room}" is being written by another stream; give each text a key of its own`,
        ended: `"${key}" of event "${type}" of "${room}" has ended; give the next text another key, or wait until it has expired`,
        full: `"${room}" has as many texts that grow as one room keeps; end some of them first`
      }[written as 'busy' | 'ended' | 'full'])
    }
    this.#renewal = every(() => { this.#renew() }, LEASE / 3).unref()
    this.#renew()
  }

  /**
   * Accepts a chunk. It resolves at once, or where much is unpublished when less is.
   *
   * @throws REALTIME_ERR_STREAM for a chunk that does not fit and after the end, `message_too_large` for a text above
   *   its bound, and why the stream was ended where it was not by `end`
   */
  write (chunk: unknown): Promise<void> { return this.append(() => this.prepare(chunk)) }

  /**
   * Accepts what `prepare` has made; otherwise as `write`.
   *
   * @param text throws why the chunk is refused
   */
  append (text: () => string): Promise<void> {
    if (this.#end !== undefined || this.#isOver) return rejected(this.#why())
    let bytes: number
    try {
      bytes = this.#take(text())
    } catch (error) {
      return rejected(error)
    }
    if (bytes === 0) return DONE
    this.#writtenAt = performance.now()
    if (this.#publishing === undefined) this.#timer ??= after(() => { this.#flush() }, this.#options.flush)
    if (this.#unpublished <= UNPUBLISHED) return DONE
    return handled(new Promise((resolve, reject) => { this.#waiters.push({ resolve, reject }) }))
  }

  /**
   * Makes the characters of a chunk, or the JSON of an item. The key need not be taken for that.
   *
   * @throws REALTIME_ERR_STREAM for a chunk that does not fit
   */
  prepare (given: unknown): string {
    const { type, room, rule } = this.#options
    if (!this.#isList && typeof given !== 'string') {
      throw new REALTIME_ERR_STREAM(`a chunk of event "${type}" of "${room}" is a string, got ${typeof given}`)
    }
    const chunk = this.#fitting(given)
    const text = this.#isList ? jsonOf(chunk) : chunk as string
    if (text !== undefined) return text
    throw new REALTIME_ERR_STREAM(`an item of "${rule.append}" of event "${type}" of "${room}" is no JSON value`)
  }

  /** @returns the bytes that were accepted */
  #take (text: string): number {
    const { itemLimit } = this.#options
    const bytes = Buffer.byteLength(text)
    if (this.#isList && bytes > itemLimit) {
      this.#tooLarge(`an item of ${bytes} bytes is larger than limits.event (${itemLimit} bytes)`)
    }
    this.#charge(bytes)
    if (this.#isList) this.#items.push(text)
    else this.#text += text
    this.#unpublished += text.length
    return bytes
  }

  /**
   * Gives a chunk as the schema makes it.
   *
   * @throws REALTIME_ERR_STREAM for one that does not fit the schema, or of which it does not make one chunk
   */
  #fitting (chunk: unknown): unknown {
    const { room, rule: { data, name, append }, head, validateOutput } = this.#options
    let made: unknown
    try {
      const whole = { ...head, [append]: this.#isList ? [chunk] : chunk }
      made = (outgoing(data, whole, validateOutput, name, room) as typeof whole)[append]
    } catch (error) {
      throw new REALTIME_ERR_STREAM(`a chunk is refused: ${(error as Error).message}`)
    }
    if (!this.#isList && typeof made === 'string') return made
    if (this.#isList && Array.isArray(made) && made.length === 1) return made[0]
    throw new REALTIME_ERR_STREAM(
      `a chunk is refused: the schema of ${name} of "${room}" does not make of it one chunk of "${append}"`
    )
  }

  #charge (bytes: number): void {
    if (this.#bytes + bytes > this.#size) {
      this.#look(this.#bytes + bytes)
      this.#tooLarge(`the text is larger than ${this.#size} bytes, the bound of its room (append.size)`)
    }
    this.#bytes += bytes
    if (isNearly(this.#bytes, this.#size)) this.#look(this.#bytes)
  }

  #look (used: number): void {
    const { limitWarnings, room, type } = this.#options
    limitWarnings?.look('append.size of the room', used, this.#size, { room, event: type })
  }

  #tooLarge (message: string): never {
    const refusal = new Refusal('message_too_large', { message })
    void this.stop({ code: 'message_too_large', message }, refusal)
    throw refusal
  }

  /** Why nothing can be written any more, which may be anything where the application gave it. */
  #why (): unknown { return this.#fault === undefined ? this.#ended() : this.#fault }

  #ended (): Error {
    const { room, type, key } = this.#options
    return new REALTIME_ERR_STREAM(`the stream "${key}" of event "${type}" of "${room}" has ended`)
  }

  /** Ends the text behind everything that was accepted, and resolves when the broker has it. */
  async end (end: TextEnd = 'done'): Promise<void> {
    if (this.#end !== undefined || this.#isOver) throw this.#why()
    await this.stop(end)
    if (this.#fault !== undefined) throw this.#fault
  }

  /**
   * Ends the text for a reason of which the writer learns with its next call.
   *
   * @param fault what its calls reject with from now on
   * @returns when the broker has the end, or nobody can tell it
   */
  async stop (end: TextEnd, fault?: unknown): Promise<void> {
    if (this.#end === undefined && !this.#isOver) {
      this.#end = end
      this.#fault = fault
      if (fault !== undefined) {
        this.#wake(fault)
        this.#controller?.abort(fault)
      }
      this.#flush()
    }
    // Behind a renewal, another step follows.
    while (this.#publishing !== undefined) await this.#publishing
  }

  /** Ends the text because the process ends: a broker that is away is not waited for. */
  async close (): Promise<void> {
    const message = 'the server is shutting down'
    this.#patience = CLOSING
    await this.stop({ code: 'draining', message }, new Refusal('draining', { message }))
  }

  #flush (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#isOver) return
    this.#publishing ??= this.#publish().finally(() => {
      this.#publishing = undefined
      if (this.#isOver) return
      // The end came while the last step was under way.
      if (this.#end !== undefined) this.#flush()
      else if (this.#unpublished > 0) this.#timer ??= after(() => { this.#flush() }, this.#options.flush)
      else this.#renew()
    })
  }

  /** Publishes what has been gathered: one step, and more only where that is too much for one. Never rejects. */
  async #publish (): Promise<void> {
    try {
      for (;;) {
        const { inside, length, size } = this.#next()
        const end = this.#unpublished === size ? this.#end : undefined
        if (inside === '' && end === undefined) return
        const written = await this.#step(inside, length, end)
        if (written !== 'written') {
          throw new REALTIME_ERR_STREAM(
            `the stream "${this.#options.key}" of "${this.#options.room}" was lost: its lease was over, or another writer has its key`
          )
        }
        this.#unpublished -= size
        if (end !== undefined) return this.#over(this.#fault)
        if (this.#unpublished <= UNPUBLISHED) this.#wake()
        if (this.#unpublished < STEP && this.#end === undefined) return
      }
    } catch (error) {
      this.#over(error)
    }
  }

  /** Takes what goes into the next step. */
  #next (): { readonly inside: string, readonly length: number, readonly size: number } {
    if (!this.#isList) {
      let size = Math.min(STEP, this.#text.length)
      // The halves of a pair are shown together, where the other one is still to come.
      const isLast = size === this.#text.length && this.#end !== undefined
      if (size > 0 && !isLast && isHigh(this.#text.charCodeAt(size - 1))) size--
      const text = this.#text.slice(0, size)
      this.#text = this.#text.slice(size)
      return { inside: insideOf(text), length: size, size }
    }
    let size = 0
    let length = 0
    while (length < this.#items.length && (length === 0 || size + this.#items[length]!.length <= STEP)) {
      size += this.#items[length++]!.length
    }
    return { inside: this.#items.splice(0, length).join(','), length, size }
  }

  /** Takes one step, again and again while the broker is away. */
  async #step (inside: string, length: number, end: TextEnd | undefined): Promise<TextWritten> {
    const { room, type, key, before, store, settings } = this.#options
    const number = this.#number++
    const to = this.#length + length
    let stretch = { inside, from: this.#length }
    this.#whole = joined(this.#whole, inside, this.#isList)
    this.#length = to
    const begun = performance.now()
    let mayBeTaken = false
    for (let repairs = 0; ;) {
      try {
        const asked: Awaitable<TextWritten> = store.write(room, {
          type,
          key,
          timestamp: Date.now(),
          writer: this.#token,
          number,
          lease: LEASE,
          part: { before, isList: this.#isList, to, end, ...stretch }
        }, settings)
        const written = asked instanceof Promise ? await asked : asked
        // The lease may have begun as early as that.
        this.#steppedAt = begun
        if (written !== 'behind') return written
        if (++repairs > REPAIRS) return 'lost'
        stretch = { inside: this.#whole, from: 0 }
      } catch (error) {
        mayBeTaken ||= number === 0 && isUncertain(error)
        const isOver = performance.now() - begun > (number === 0 ? LEASE : this.#patience)
        if (mayBeTaken && (isOver || this.#options.isClosed())) throw inPart(error)
        if (!isUnavailable(error) || isOver || (number === 0 && !mayBeTaken)) throw error
        await new Promise<void>((resolve) => { after(resolve, AGAIN) })
      }
    }
  }

  /** Renews the lease of a writer that is silent; one that is silent for very long is ended. */
  #renew (): void {
    const now = performance.now()
    if (this.#publishing !== undefined || this.#isOver || now - this.#steppedAt < LEASE / 3 - 100) return
    if (now - this.#writtenAt > this.#idle) {
      const message = `nothing was written for ${this.#idle} ms`
      void this.stop({ code: 'timeout', message }, new Refusal('timeout', { message }))
      return
    }
    this.#publishing = this.#step('', 0, undefined).then((written) => {
      if (written !== 'written') this.#over(this.#ended())
    }, (error: unknown) => { this.#over(error) }).finally(() => {
      this.#publishing = undefined
      if (this.#end !== undefined || this.#unpublished > 0) this.#flush()
      // It may have taken longer than until the next is due.
      else this.#renew()
    })
  }

  #wake (error?: unknown): void {
    for (const { resolve, reject } of this.#waiters.splice(0)) {
      if (error === undefined) resolve()
      else reject(error)
    }
  }

  #over (fault: unknown): void {
    this.#isOver = true
    this.#fault = fault
    if (fault !== undefined) this.#controller?.abort(fault)
    clearInterval(this.#renewal)
    clearTimeout(this.#timer)
    this.#wake(fault)
    this.#whole = this.#text = ''
    this.#items = []
    this.#options.onOver()
  }
}

function isHigh (code: number): boolean { return code >= 0xd800 && code <= 0xdbff }

function jsonOf (value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    return undefined
  }
}

/** A caller need not await each `write`: a rejection that nobody handles would end its process. */
function handled (promise: Promise<void>): Promise<void> {
  promise.catch(() => {})
  return promise
}

function rejected (error: unknown): Promise<void> { return handled(Promise.reject(error)) }
