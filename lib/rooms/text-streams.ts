import type { Adapter, KeptText } from '../adapters/adapter.js'
import { nameOrShow } from '../errors/explain.js'
import { REALTIME_ERR_EVENT, REALTIME_ERR_ROOM, REALTIME_ERR_STREAM } from '../errors/misuse.js'
import type { LimitWarnings } from '../errors/limit-warnings.js'
import { unreadable } from '../errors/unreadable.js'
import { Refusal } from '../errors/refusal.js'
import { beforeOf, dataOf, type TextEnd } from '../protocol/part.js'
import { keyOf } from '../protocol/key.js'
import { every } from '../structures/timers.js'
import type { Declaration, TextRule } from './declaration.js'
import type { ResolvedRoom } from './declarations.js'
import { outgoing } from './fitting.js'
import type { Room } from './room.js'
import type { RoomTexts } from './room-texts.js'
import { TextWriter } from './text-writer.js'

export interface TextStreamsOptions {
  readonly adapter: Adapter
  /** Finds a room for the application. */
  readonly locate: (name: string) => ResolvedRoom
  /** The room where it has members here. */
  readonly room: (name: string) => Room | undefined
  /** Bytes of one item of a list. */
  readonly eventLimit: number
  readonly validateOutput: boolean
  readonly limitWarnings?: LimitWarnings | undefined
}

/** A text as the application reads it. */
export interface WholeText {
  readonly data: unknown
  readonly end?: TextEnd | undefined
}

/** A text that this node writes. */
interface OwnText {
  /** Absent while its key is being taken. */
  writer?: TextWriter
  isCancelled: boolean
}

/** What the readers of a cancelled text are told. */
const CANCELLED = { code: 'cancelled', message: 'the stream was cancelled' }

/** Milliseconds between two looks for texts that have fallen silent. */
const LOOK = 5_000

/** @throws REALTIME_ERR_ROOM for a room with `append` events on an adapter that keeps no texts */
export function checkKept ({ pattern, texts }: Declaration, { name, texts: store }: Adapter): void {
  if (texts.size === 0 || store !== undefined) return
  throw new REALTIME_ERR_ROOM(
    `"${pattern.source}" declares the event "${[...texts.keys()][0]!}" with delivery: 'append', whose texts the ${name} adapter does not keep; use another adapter, or deliver the event otherwise`
  )
}

/** The texts of all rooms: those that this node writes, and a look after those that have fallen silent. */
export class TextStreams {
  readonly #options: TextStreamsOptions
  /** By room, event and key; those whose key is still being taken too. */
  readonly #writers = new Map<string, OwnText>()
  /** Rooms with members here in which a text grows. */
  readonly #growing = new Set<RoomTexts>()
  #looker: NodeJS.Timeout | undefined
  #isClosed = false

  constructor (options: TextStreamsOptions) {
    this.#options = options
  }

  /** Number of texts that this node writes now. */
  get writers (): number { return this.#writers.size }

  start (): void { this.#looker = every(() => { this.look(performance.now()) }, LOOK).unref() }

  stop (): void { clearInterval(this.#looker) }

  /** Remembers that a text of a room grows. */
  readonly grows = (texts: RoomTexts): void => { this.#growing.add(texts) }

  /** Compares texts that are silent with what the adapter keeps. */
  look (now: number): void {
    for (const texts of this.#growing) {
      if (!texts.isGrowing) this.#growing.delete(texts)
      else void texts.check(now)
    }
  }

  /** Counts silence from now on, because the adapter's server was away. */
  touch (): void { for (const texts of this.#growing) texts.touch(performance.now()) }

  #rule (name: string, type: string): { declaration: Declaration, rule: TextRule } {
    const { declaration } = this.#options.locate(name)
    const rule = declaration.texts.get(type)
    if (rule !== undefined) return { declaration, rule }
    const known = [...declaration.texts.keys()].map((each) => `"${each}"`).join(', ')
    throw new REALTIME_ERR_EVENT(
      `"${declaration.pattern.source}" declares no event "${nameOrShow(type)}" with delivery: 'append' (declared: ${known === '' ? 'none' : known})`
    )
  }

  /**
   * Begins a text.
   *
   * @param signal ends the text when it is aborted
   * @param onMade is given the writer before this call returns, where its key is yet to be taken
   * @throws REALTIME_ERR_EVENT for an event that is not declared or a head that does not fit, REALTIME_ERR_STREAM for a
   *   key that another stream has or that has ended, `unavailable`, `draining`, and the reason of a signal that is
   *   aborted already
   */
  async open (
    name: string,
    type: string,
    head: unknown,
    signal?: AbortSignal,
    onMade?: (writer: TextWriter) => void
  ): Promise<TextWriter> {
    signal?.throwIfAborted()
    if (this.#isClosed) throw new Refusal('draining')
    const { declaration, rule } = this.#rule(name, type)
    const { adapter, eventLimit, validateOutput, limitWarnings } = this.#options
    const sent = checkedHead(declaration, type, rule, head, validateOutput)
    const key = String(sent[rule.key])
    const writer: TextWriter = new TextWriter({
      room: name,
      type,
      key,
      rule,
      // The schema is for what was given; what it has made of that may be something else.
      head: { ...head as Record<string, unknown> },
      before: beforeOf(sent, rule.key, rule.append, rule.isList),
      settings: declaration.settings,
      store: adapter.texts!,
      flush: declaration.textFlush,
      itemLimit: eventLimit,
      validateOutput,
      limitWarnings,
      isClosed: () => this.#isClosed,
      onOver: () => {
        if (this.#writers.get(id) === own) this.#writers.delete(id)
        signal?.removeEventListener('abort', abort)
      }
    })
    onMade?.(writer)
    const abort = (): void => {
      void writer.stop({ code: 'aborted', message: 'the stream was aborted' }, signal!.reason)
    }
    const id = keyOf(name, type, key)
    const own: OwnText = { isCancelled: false }
    // A second stream of the same key is refused below, and the first one stays known.
    if (!this.#writers.has(id)) this.#writers.set(id, own)
    try {
      await writer.open()
    } catch (error) {
      if (this.#writers.get(id) === own) this.#writers.delete(id)
      throw error
    }
    own.writer = writer
    this.#writers.set(id, own)
    if (own.isCancelled) cancel(writer)
    else if (signal?.aborted === true) abort()
    else signal?.addEventListener('abort', abort)
    return writer
  }

  /**
   * Ends a text on whichever node it is written, for its readers with the error `cancelled`. A text that has ended, or
   * that nobody writes, stays as it is.
   *
   * @throws REALTIME_ERR_EVENT for an event that is not declared, REALTIME_ERR_STREAM for what is no key, `unavailable`
   *   when it is not written here and the other nodes cannot be told
   */
  async cancel (name: string, type: string, key: unknown): Promise<void> {
    this.#rule(name, type)
    const text = checkedKey(key)
    if (!this.cancelHere(name, type, text)) {
      await this.#options.adapter.control?.send({ type: 'cancel', room: name, event: type, key: text })
    }
  }

  /** @returns whether this node writes the text */
  cancelHere (name: string, type: string, key: string): boolean {
    const own = this.#writers.get(keyOf(name, type, key))
    if (own === undefined) return false
    own.isCancelled = true
    if (own.writer !== undefined) cancel(own.writer)
    return true
  }

  /**
   * Reads a text from the room where it has members here and the text, which may have given way, else from the adapter.
   * There nobody may have looked after its writer: where that one has died, the text ends as lost now.
   *
   * @throws REALTIME_ERR_EVENT for an event that is not declared
   */
  async text (name: string, type: string, key: string): Promise<KeptText | undefined> {
    const { declaration: { settings } } = this.#rule(name, type)
    const room = this.#options.room(name)
    const here = room?.isOpened === true ? room.texts!.get(type, key) : undefined
    if (here !== undefined) return here
    const store = this.#options.adapter.texts!
    const [kept] = await store.read(name, settings, { type, key })
    if (kept === undefined || kept.part.end !== undefined) return kept
    const { version, begun, to } = kept.part
    const [changed] = await store.check(name, [{ type, key, version, begun, to }], settings)
    return changed ?? kept
  }

  /** Reads a text for the application. */
  async read (name: string, type: string, key: unknown): Promise<WholeText | undefined> {
    const text = await this.text(name, type, checkedKey(key))
    if (text === undefined) return undefined
    const data: unknown = JSON.parse(dataOf(text.part))
    return text.part.end === undefined ? { data } : { data, end: text.part.end }
  }

  /** Ends all texts that this node writes, because it shuts down. */
  async close (): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#writers.values()].map((own) => {
      // One whose key is still being taken ends as soon as it is taken.
      own.isCancelled = true
      return own.writer?.close()
    }))
  }
}

/** @throws REALTIME_ERR_EVENT for a head that does not fit the schema together with an empty text */
function checkedHead (
  { pattern }: Declaration,
  type: string,
  { data, name, key, append, isList }: TextRule,
  head: unknown,
  validateOutput: boolean
): Record<string, unknown> {
  const where = `event "${type}" of "${pattern.source}"`
  if (typeof head !== 'object' || head === null) throw new REALTIME_ERR_EVENT(`the head of ${where} is an object`)
  const fault = unreadable(head)
  if (fault !== undefined) throw new REALTIME_ERR_EVENT(`the head of ${where} cannot be read: ${fault}; give plain data`)
  const given = head as Record<string, unknown>
  if (given[append] !== undefined) {
    throw new REALTIME_ERR_EVENT(`the head of ${where} has "${append}", which is written: leave it out`)
  }
  if (!isKey(given[key])) throw new REALTIME_ERR_EVENT(`the head of ${where} needs "${key}", the key of the text`)
  const whole = { ...given, [append]: isList ? [] : '' }
  const { [append]: _text, ...sent } = outgoing(data, whole, validateOutput, name, pattern.source) as typeof given
  if (isKey(sent[key])) return sent
  throw new REALTIME_ERR_EVENT(`the schema of ${where} makes no string or number of "${key}", the key of the text`)
}

function isKey (value: unknown): value is string | number {
  return typeof value === 'string' || typeof value === 'number'
}

/** @throws REALTIME_ERR_STREAM */
function checkedKey (key: unknown): string {
  if (isKey(key)) return String(key)
  throw new REALTIME_ERR_STREAM(`the key of a text is a string or a number, got ${typeof key}`)
}

function cancel (writer: TextWriter): void {
  void writer.stop(CANCELLED, new DOMException(CANCELLED.message, 'AbortError'))
}
