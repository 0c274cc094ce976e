import type { Control, ControlMessage } from '../adapter.js'
import { Early } from '../broker/early.js'
import { CUT_OFF, Envelopes, isBrief, KEPT, KEPT_SURELY, mustArrive } from '../broker/envelopes.js'
import { Missed } from '../broker/missed.js'
import type { Unread } from '../broker/unread.js'
import { newEpoch } from '../history/stream.js'
import { Rerun } from '../../structures/rerun.js'
import { after, every } from '../../structures/timers.js'
import type { Keys } from './keys.js'
import type { RedisLink } from './link.js'
import { MessageAges } from './message-ages.js'
import { TELL, TOLD } from './scripts/stores.js'

export interface RedisControlOptions {
  readonly link: RedisLink
  readonly keys: Keys
  /** Names this adapter among all. */
  readonly tag: string
  readonly unread: Unread
  readonly deliver: (message: ControlMessage, from: string) => void
  /** Called when the broker has other data than before. */
  readonly onForgotten: () => void
  /** Called when messages may have been dropped that this node has not read. */
  readonly onMissed: () => void
}

/** One stream of kept messages, as this node has read it. */
class Tape {
  readonly key: string
  readonly label: string
  readonly early = new Early()
  /** Id of the newest message that this node has. */
  top: string | undefined

  /** @param label in front of the ids of its messages on the channel */
  constructor (key: string, label: string) {
    this.key = key
    this.label = label
  }
}

/** Milliseconds between two reads of messages that did not arrive. */
const LOOK = 1_000
/** Milliseconds until a read that failed is tried again: by the next look a revocation could be two seconds late. */
const AGAIN = 100
/** Messages in one read. */
const PAGE = 500
/** Marks a message that is kept, in front of its own number and that of the one before it. */
const NUMBERED = '='
/** In front of the ids of those that are soon of no use. */
const BRIEF = 'm:'
/** Before every message of a stream. */
const FIRST = '0-0'

/**
 * Messages between nodes. Those that must not be lost are kept in a stream of the broker: each node knows which of them
 * it has, and reads the rest when one arrives that does not follow, after each reconnect and every second. So a join
 * and a leave keep their order on every node. Those that are soon of no use have a stream of their own.
 */
export class RedisControl implements Control {
  readonly #options: RedisControlOptions
  readonly #envelopes: Envelopes
  #nodeId = ''
  readonly #told: Tape
  readonly #brief: Tape
  readonly #ages = new MessageAges()
  /** Tells the broker's data from other data. */
  #mark: string | undefined
  /** The server that was read last; absent until all messages from before have been passed over. */
  #run: string | undefined
  readonly #missed: Missed
  readonly #reading = new Rerun(async () => {
    if (!this.#options.link.canSend) return
    const take = (text: string): void => { this.#takeKept(text) }
    await this.#told.early.behind(() => this.#brief.early.behind(() => this.#read(), take), take)
  })

  #timer: NodeJS.Timeout | undefined
  #again: NodeJS.Timeout | undefined
  /** Waits for the link, for all who want messages read meanwhile. */
  #back: Promise<void> | undefined

  constructor (options: RedisControlOptions) {
    this.#options = options
    const { link, keys, tag, onMissed } = options
    this.#missed = new Missed(CUT_OFF, onMissed)
    this.#told = new Tape(keys.told, '')
    this.#brief = new Tape(keys.brief, BRIEF)
    this.#envelopes = new Envelopes(tag, () => link.ahead(keys.control))
  }

  async start (nodeId: string): Promise<void> {
    const { link, keys } = this.#options
    this.#nodeId = nodeId
    await link.subscribe(keys.control)
    // What was sent before concerns nobody here, and is known as such before anybody is here.
    await this.#reading.run()
    this.#timer = every(() => { void this.catchUp() }, LOOK).unref()
  }

  /** Tells the broker's data from other data, as it was read last. */
  get mark (): string | undefined { return this.#mark }

  close (): void {
    clearInterval(this.#timer)
    clearTimeout(this.#again)
  }

  async send (message: ControlMessage): Promise<void> {
    const { link, keys } = this.#options
    const { text } = this.#envelopes.seal(message, this.#nodeId)
    const { key, label } = isBrief(message) ? this.#brief : this.#told
    const kept = mustArrive(message) ? isBrief(message) ? KEPT_SURELY : KEPT : ''
    await link.script(TELL, [keys.control, key], [text, kept, KEPT_SURELY, label])
  }

  /**
   * Takes what the subscription brought.
   *
   * @throws Undecodable
   */
  heard (text: string): void {
    if (!text.startsWith(NUMBERED)) {
      this.#take(text)
      return
    }
    const end = text.indexOf('\n')
    const tape = text.startsWith(BRIEF, NUMBERED.length) ? this.#brief : this.#told
    const [id = '', before = ''] = text.slice(NUMBERED.length, end).split(' ').map((id) => id.slice(tape.label.length))
    const message = text.slice(end + 1)
    if (this.#run === undefined) {
      // The first read passes over all that it finds.
      this.#take(message)
      return
    }
    // The first one in the stream has none before it.
    if (tape.top === undefined || (before !== '' && before !== tape.top) || this.#reading.isRunning) {
      const passed = tape.early.hold(message)
      if (passed !== undefined) this.#take(passed)
      void this.catchUp()
      return
    }
    tape.top = id
    this.#take(message)
  }

  /**
   * Reads messages that were not received, as soon as commands can be sent: where a broker comes and goes, the next
   * look may find it gone once more. Never rejects: what fails is tried again soon.
   */
  async catchUp (): Promise<void> {
    const { link } = this.#options
    if (!link.canSend) {
      await (this.#back ??= this.#whenBack())
      return
    }
    try {
      await this.#reading.run()
    } catch {
      // Where the link is away, this is called when it comes back.
      if (!link.isClosed) this.#catchUpSoon()
    }
  }

  async #whenBack (): Promise<void> {
    const { link } = this.#options
    await link.back(LOOK)
    this.#back = undefined
    if (link.canSend) await this.catchUp()
  }

  #catchUpSoon (): void {
    this.#again ??= after(() => {
      this.#again = undefined
      void this.catchUp()
    }, AGAIN).unref()
  }

  async #read (): Promise<void> {
    const { link, onForgotten } = this.#options
    const { run } = link
    const tapes = [this.#told, this.#brief]
    // Another server may number its messages otherwise: all of them are read, and none is handed over twice.
    if (run !== this.#run) for (const tape of tapes) tape.top = undefined
    this.#missed.begins()
    for (let isDone = false; !isDone;) {
      const mark = this.#mark
      const page = await this.#page(tapes)
      this.#mark = page.mark
      isDone = page.isLast
      if (mark === undefined || mark === page.mark) continue
      for (const tape of tapes) tape.top = undefined
      isDone = false
      onForgotten()
    }
    for (const tape of tapes) tape.top ??= FIRST
    this.#run = run
    this.#missed.isRead()
  }

  async #page (tapes: readonly Tape[]): Promise<{ readonly mark: string, readonly isLast: boolean }> {
    const { link, keys } = this.#options
    const places = tapes.map(({ top }) => top === undefined ? '-' : `(${top}`)
    const before = performance.now()
    const [mark, time, ...all] = await link.script(
      TOLD,
      [keys.mark, ...tapes.map(({ key }) => key)],
      [newEpoch(), PAGE, ...places]
    ) as [string, string, ...string[][]]
    const now = performance.now()
    if (this.#ages.read(Number(time), before, now)) this.#missed.note()
    for (const [index, tape] of tapes.entries()) {
      const entries = all[index]!
      for (let at = 0; at + 1 < entries.length; at += 2) {
        const [id, text] = [entries[at]!, entries[at + 1]!]
        tape.top = id
        // Messages from before this node's start do not concern it.
        if (this.#run === undefined || this.#ages.isPast(id, now)) this.#envelopes.pass(text, tape === this.#brief)
        else this.#takeKept(text, this.#ages.of(id, now))
      }
    }
    return { mark, isLast: all.every((entries) => entries.length < PAGE * 2) }
  }

  #takeKept (text: string, age = 0): void {
    try {
      this.#take(text, age)
    } catch (error) {
      this.#options.unread.failed(error, 'control', text.length)
    }
  }

  #take (text: string, age = 0): void {
    const opened = this.#envelopes.open(text, age)
    if (opened !== undefined) this.#options.deliver(opened.message, opened.from)
  }
}
