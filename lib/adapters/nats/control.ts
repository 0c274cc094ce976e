import type { StreamInfo } from '@nats-io/jetstream'
import type { Subscription } from '@nats-io/transport-node'
import type { Control, ControlMessage } from '../adapter.js'
import { Early } from '../broker/early.js'
import { Envelopes, KEPT, mustArrive } from '../broker/envelopes.js'
import { Refusal } from '../../errors/refusal.js'
import { Rerun } from '../../structures/rerun.js'
import { after } from '../../structures/timers.js'
import type { NatsClock } from './clock.js'
import { away, isMissing, type NatsLink } from './link.js'
import { fetchAll } from './reading.js'
import type { NatsSetup, StreamPlan } from './setup.js'
import type { Unread } from '../broker/unread.js'

export interface NatsControlOptions {
  readonly link: NatsLink
  /** Absent without JetStream: then messages sent while the link is broken are lost. */
  readonly kept: { readonly setup: NatsSetup, readonly clock: NatsClock } | undefined
  readonly prefix: string
  /** Names this adapter among all. */
  readonly tag: string
  readonly nodeId: string
  readonly unread: Unread
  readonly deliver: (message: ControlMessage, from: string) => void
  /** Called when messages may have been dropped that this node has not read. */
  readonly onMissed: () => void
}

const PAGE = 1_000
/** Milliseconds without a read after which messages may have been past their time unread, by the server's clock. */
const CUT_OFF = KEPT / 2
/** Milliseconds until messages are read again after that failed although the link stood. */
const AGAIN = 250

/**
 * Messages between nodes. Those that must not be lost are kept in a small stream: each node knows up to which number it
 * has received them, and reads the rest after each reconnect, again soon where that fails, and every few seconds.
 */
export class NatsControl implements Control {
  readonly #options: NatsControlOptions
  readonly #plan: StreamPlan
  readonly #envelopes: Envelopes
  readonly #subscriptions: Subscription[] = []
  #created = ''
  /** Everything up to this number has been received. */
  #top = 0
  #startedAt = 0
  /** When all messages had been read last, by `performance.now()`. */
  #readAt = Number.POSITIVE_INFINITY
  /** Whether messages may have been dropped that this node has not read, which is told when the rest is read. */
  #hasMissed = false
  #timer: NodeJS.Timeout | undefined
  readonly #early = new Early()
  readonly #reading = new Rerun(() => this.#early.behind(() => this.#read(), (text) => { this.#takeKept(text) }))

  constructor (options: NatsControlOptions) {
    this.#options = options
    const { prefix, tag, kept } = options
    this.#envelopes = new Envelopes(tag, () => kept?.clock.ahead ?? 0)
    this.#plan = {
      name: `${prefix}_control`,
      subjects: [`${prefix}.control.kept`],
      maxAge: KEPT,
      duplicates: 60_000,
      republish: [`${prefix}.control.kept`, `${prefix}.control.told`]
    }
  }

  async start (): Promise<void> {
    const { link, kept, prefix } = this.#options
    this.#subscriptions.push(link.listen(`${prefix}.control`, (message) => { this.#take(message.string()) }))
    if (kept === undefined) return
    this.#subscriptions.push(link.listen(`${prefix}.control.told`, (message) => {
      const sequence = Number(message.headers?.get('Nats-Sequence'))
      // The order is kept, so that a join and a leave keep theirs: a message that is missing before this one is read
      // first.
      if (sequence === this.#top + 1) {
        this.#top = sequence
        this.#take(message.string())
      } else {
        const passed = this.#early.hold(message.string())
        if (passed !== undefined) this.#take(passed)
        void this.catchUp()
      }
    }))
    this.#startedAt = kept.clock.now()
    const { state, created } = await kept.setup.use(this.#plan, () => link.jsm.streams.info(this.#plan.name))
    this.#top = state.last_seq
    this.#created = String(created)
    this.#readAt = performance.now()
  }

  async send (message: ControlMessage): Promise<void> {
    const { link, kept, prefix, nodeId } = this.#options
    const { id, text } = this.#envelopes.seal(message, nodeId)
    if (kept === undefined || !mustArrive(message)) {
      link.send(`${prefix}.control`, text)
      await link.change(() => link.flush())
      return
    }
    const until = performance.now() + link.timeout
    let isUncertain = false
    for (let isAgain = false; ; isAgain = true) {
      try {
        const timeout = Math.ceil((until - performance.now()) / (isAgain ? 1 : 2))
        await kept.setup.use(this.#plan, () => link.publish(this.#plan.subjects[0]!, text, { msgID: id, timeout }))
        return
      } catch (error) {
        isUncertain ||= error instanceof Refusal && error.outcome === 'unknown'
        if (isAgain || !link.isUp || performance.now() >= until) throw isUncertain ? away('unknown') : error
      }
    }
  }

  /** Reads messages that were not received. Never rejects: what fails is tried again soon. */
  async catchUp (): Promise<void> {
    if (this.#options.kept === undefined) return
    try {
      await this.#reading.run()
    } catch {
      this.#catchUpSoon()
    }
  }

  /** Where the link is away, this is called when it comes back. */
  #catchUpSoon (): void {
    if (!this.#options.link.isUp) return
    this.#timer ??= after(() => {
      this.#timer = undefined
      void this.catchUp()
    }, AGAIN).unref()
  }

  /** Asks before the stream is opened: nearly always it is there, and a revocation may be waiting in it. */
  async #look (): Promise<StreamInfo> {
    const { link, kept } = this.#options
    const ask = async (): Promise<StreamInfo> => await link.jsm.streams.info(this.#plan.name)
    try {
      return await link.attempt(ask)
    } catch (error) {
      if (!isMissing(error)) throw error
      kept!.setup.forget(this.#plan.name)
      return await kept!.setup.use(this.#plan, ask)
    }
  }

  async #read (): Promise<void> {
    const { link, kept, onMissed } = this.#options
    if (!link.isUp) throw away()
    this.#hasMissed ||= performance.now() - this.#readAt > CUT_OFF
    const { state, created } = await this.#look()
    // The stream was created again, or has older data: its numbers do not tell which of its messages were received.
    if (String(created) !== this.#created || state.last_seq < this.#top) {
      this.#top = 0
      this.#hasMissed = true
    }
    this.#created = String(created)
    if (state.messages === 0) this.#top = state.last_seq
    while (this.#top < state.last_seq) {
      const { messages } = await fetchAll(link, {
        stream: this.#plan.name,
        subject: this.#plan.subjects[0]!,
        start: this.#top + 1,
        most: Math.min(PAGE, state.last_seq - this.#top)
      })
      for (const { seq, time, text } of messages) {
        this.#top = Math.max(this.#top, seq)
        if (time < this.#startedAt) continue
        this.#takeKept(text, kept!.clock.now() - time)
      }
      // Age alone removes messages, the oldest first, so the newest is there: a server that has it not leads no more.
      if (messages.length === 0) throw away()
    }
    this.#readAt = performance.now()
    const hasMissed = this.#hasMissed
    this.#hasMissed = false
    if (hasMissed) onMissed()
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

  close (): void {
    clearTimeout(this.#timer)
    for (const subscription of this.#subscriptions) subscription.unsubscribe()
  }
}
