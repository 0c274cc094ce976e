import type { Adapter, KeptText } from '../adapters/adapter.js'
import { REALTIME_ERR_EVENT, REALTIME_ERR_ROOM, REALTIME_ERR_STREAM } from '../errors/misuse.js'
import { beforeOf, dataOf, type TextEnd } from '../protocol/part.js'
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
}

/** A text as the application reads it. */
export interface WholeText {
  readonly data: unknown
  readonly end?: TextEnd | undefined
}

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
  readonly #writers = new Set<TextWriter>()
  /** Rooms with members here in which a text grows. */
  readonly #growing = new Set<RoomTexts>()
  #looker: NodeJS.Timeout | undefined

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
      `"${declaration.pattern.source}" declares no event "${String(type)}" with delivery: 'append' (declared: ${known === '' ? 'none' : known})`
    )
  }

  /**
   * Begins a text.
   *
   * @param signal ends the text when it is aborted
   * @throws REALTIME_ERR_EVENT for an event that is not declared or a head that does not fit, REALTIME_ERR_STREAM for a
   *   key that another stream has or that has ended, `unavailable`, and the reason of a signal that is aborted already
   */
  async open (name: string, type: string, head: unknown, signal?: AbortSignal): Promise<TextWriter> {
    signal?.throwIfAborted()
    const { declaration, rule } = this.#rule(name, type)
    const { adapter, eventLimit, validateOutput } = this.#options
    const given = checkedHead(declaration, type, rule, head, validateOutput)
    const key = String(given[rule.key])
    const writer: TextWriter = new TextWriter({
      room: name,
      type,
      key,
      rule,
      head: given,
      before: beforeOf(given, rule.key, rule.append, rule.isList),
      settings: declaration.settings,
      store: adapter.texts!,
      flush: declaration.textFlush,
      itemLimit: eventLimit,
      validateOutput,
      onOver: () => {
        this.#writers.delete(writer)
        signal?.removeEventListener('abort', abort)
      }
    })
    const abort = (): void => { void writer.stop({ code: 'aborted', message: 'the stream was aborted' }, signal!.reason) }
    await writer.open()
    this.#writers.add(writer)
    if (signal?.aborted === true) abort()
    else signal?.addEventListener('abort', abort)
    return writer
  }

  /**
   * Reads a text from the room where it has members here, else from the adapter.
   *
   * @throws REALTIME_ERR_EVENT for an event that is not declared
   */
  async text (name: string, type: string, key: string): Promise<KeptText | undefined> {
    const { declaration: { settings } } = this.#rule(name, type)
    const room = this.#options.room(name)
    if (room?.isOpened === true) return room.texts!.get(type, key)
    return (await this.#options.adapter.texts!.read(name, settings, { type, key }))[0]
  }

  /** Reads a text for the application. */
  async read (name: string, type: string, key: unknown): Promise<WholeText | undefined> {
    if (typeof key !== 'string' && typeof key !== 'number') {
      throw new REALTIME_ERR_STREAM(`the key of a text is a string or a number, got ${typeof key}`)
    }
    const text = await this.text(name, type, String(key))
    if (text === undefined) return undefined
    const data: unknown = JSON.parse(dataOf(text.part))
    return text.part.end === undefined ? { data } : { data, end: text.part.end }
  }

  /** Ends all texts that this node writes, because it shuts down. */
  async close (): Promise<void> { await Promise.all([...this.#writers].map((writer) => writer.close())) }
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
  const given = head as Record<string, unknown>
  if (given[append] !== undefined) {
    throw new REALTIME_ERR_EVENT(`the head of ${where} has "${append}", which is written: leave it out`)
  }
  if (typeof given[key] !== 'string' && typeof given[key] !== 'number') {
    throw new REALTIME_ERR_EVENT(`the head of ${where} needs "${key}", the key of the text`)
  }
  const whole = { ...given, [append]: isList ? [] : '' }
  const { [append]: _text, ...sent } = outgoing(data, whole, validateOutput, name, pattern.source) as typeof given
  return sent
}
