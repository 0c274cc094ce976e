import type { Control, ControlMessage } from '../adapter.js'
import { Early } from '../broker/early.js'
import { Envelopes, KEPT, mustArrive } from '../broker/envelopes.js'
import type { Unread } from '../broker/unread.js'
import { newEpoch } from '../history/stream.js'
import { Rerun } from '../../structures/rerun.js'
import { after, every } from '../../structures/timers.js'
import type { Keys } from './keys.js'
import type { RedisLink } from './link.js'
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
}

/** Milliseconds between two reads of messages that did not arrive. */
const LOOK = 1_000
/** Milliseconds until a read that failed is tried again: by the next look a revocation could be two seconds late. */
const AGAIN = 100
/** Messages in one read. */
const PAGE = 500
/** Marks a message that is kept, in front of its own number and that of the one before it. */
const NUMBERED = '='
/** Before every message of a stream. */
const FIRST = '0-0'

/**
 * Messages between nodes. Those that must not be lost are kept in a stream of the broker: each node knows which of them
 * it has, and reads the rest when one arrives that does not follow, after each reconnect and every second. So a join
 * and a leave keep their order on every node.
 */
export class RedisControl implements Control {
  readonly #options: RedisControlOptions
  readonly #envelopes: Envelopes
  #nodeId = ''
  /** Id of the newest kept message that this node has. */
  #top: string | undefined
  /** Tells the broker's data from other data. */
  #mark: string | undefined
  /** The server that was read last. */
  #run: string | undefined
  readonly #early = new Early()
  readonly #reading = new Rerun(async () => {
    if (this.#options.link.canSend) await this.#early.behind(() => this.#read(), (text) => { this.#takeKept(text) })
  })

  #timer: NodeJS.Timeout | undefined
  #again: NodeJS.Timeout | undefined
  /** Waits for the link, for all who want messages read meanwhile. */
  #back: Promise<void> | undefined

  constructor (options: RedisControlOptions) {
    this.#options = options
    const { link, keys, tag } = options
    this.#envelopes = new Envelopes(tag, () => link.ahead(keys.control))
  }

  /** Whether the server is the one that was read last. In a cluster, where no single one is, that is never so. */
  get isSameServer (): boolean { return Boolean(this.#run) && this.#run === this.#options.link.run }

  async start (nodeId: string): Promise<void> {
    const { link, keys } = this.#options
    this.#nodeId = nodeId
    await link.subscribe(keys.control)
    this.#timer = every(() => { void this.catchUp() }, LOOK).unref()
  }

  close (): void {
    clearInterval(this.#timer)
    clearTimeout(this.#again)
  }

  async send (message: ControlMessage): Promise<void> {
    const { link, keys } = this.#options
    const { text } = this.#envelopes.seal(message, this.#nodeId)
    await link.script(TELL, [keys.control, keys.told], [text, mustArrive(message) ? KEPT : ''])
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
    const [id = '', before = ''] = text.slice(NUMBERED.length, end).split(' ')
    const message = text.slice(end + 1)
    // The first one in the stream has none before it.
    if (this.#top === undefined || (before !== '' && before !== this.#top) || this.#reading.isRunning) {
      const passed = this.#early.hold(message)
      if (passed !== undefined) this.#take(passed)
      void this.catchUp()
      return
    }
    this.#top = id
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
    const { link, keys, onForgotten } = this.#options
    const { run } = link
    // Messages from before this node's start do not concern it.
    const isPassed = this.#mark !== undefined
    // Another server may number its messages otherwise: all of them are read, and none is handed over twice.
    if (run !== this.#run) this.#top = undefined
    for (let isDone = false; !isDone;) {
      const from = this.#top === undefined ? '-' : `(${this.#top}`
      const [mark, ...entries] = await link.script(TOLD, [keys.told, keys.mark], [from, newEpoch(), PAGE]) as string[]
      for (let index = 0; index + 1 < entries.length; index += 2) {
        this.#top = entries[index]!
        if (isPassed) this.#takeKept(entries[index + 1]!)
      }
      isDone = entries.length < PAGE * 2
      const isOther = this.#mark !== undefined && mark !== this.#mark
      this.#mark = mark
      if (isOther) {
        this.#top = undefined
        onForgotten()
      }
    }
    this.#top ??= FIRST
    this.#run = run
  }

  #takeKept (text: string): void {
    try {
      this.#take(text)
    } catch (error) {
      this.#options.unread.failed(error, 'control', text.length)
    }
  }

  #take (text: string): void {
    const opened = this.#envelopes.open(text)
    if (opened !== undefined) this.#options.deliver(opened.message, opened.from)
  }
}
