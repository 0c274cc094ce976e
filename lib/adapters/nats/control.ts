import type { StreamInfo } from '@nats-io/jetstream'
import type { Subscription } from '@nats-io/transport-node'
import { isUncertain } from '../../errors/refusal.js'
import { keyOf } from '../../protocol/key.js'
import type { Control, ControlMessage } from '../adapter.js'
import { Early } from '../broker/early.js'
import { Envelopes, idOf, KEPT, mustArrive } from '../broker/envelopes.js'
import { Missed } from '../broker/missed.js'
import { Rerun } from '../../structures/rerun.js'
import { after } from '../../structures/timers.js'
import type { NatsClock } from './clock.js'
import { away, isMissing, type NatsLink } from './link.js'
import { fetchAll } from './reading.js'
import type { Kept } from './pages.js'
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
/** Messages from before the start that are remembered at most: of more of them their numbers have to tell. */
const PASSED = 50_000
/** Milliseconds without a read after which messages may have been past their time unread, by the server's clock. */
const CUT_OFF = KEPT / 2
/** Milliseconds until messages are read again after that failed although the link stood. */
const AGAIN = 250

/**
 * Messages between nodes. Those that must not be lost are kept in a small stream: each node knows up to which number it
 * has received them, and which message has that number. It reads the rest after each reconnect, again soon where that
 * fails, and every few seconds.
 */
export class NatsControl implements Control {
  readonly #options: NatsControlOptions
  readonly #plan: StreamPlan
  readonly #envelopes: Envelopes
  readonly #subscriptions: Subscription[] = []
  #created = ''
  /** Everything up to this number has been received. */
  #top = 0
  /** The message that had this number; empty where it is not known. */
  #newest = ''
  /** How the stream was when its numbers were compared last. */
  #compared = ''
  /** Whether the stream may be another one by now: what comes meanwhile proves nothing of the numbers before it. */
  #isDoubted = false
  /** How often the link was lost. */
  #losses = 0
  #startedAt = 0
  /** The newest number at the start: a message above it is from after the start, whatever the clock of its server. */
  #startedBehind = 0
  /**
   * Whether all that was kept at the start is known by its ids. Until then its time tells what is from before where its
   * number cannot, behind a loss of data: a server that takes the place of another may have another clock.
   */
  #isPassed = false
  readonly #missed: Missed
  #timer: NodeJS.Timeout | undefined
  readonly #early = new Early()
  readonly #reading = new Rerun(() => this.#early.behind(() => this.#read(), (text) => { this.#takeKept(text) }))

  constructor (options: NatsControlOptions) {
    this.#options = options
    const { prefix, tag, kept, onMissed } = options
    this.#missed = new Missed(CUT_OFF, onMissed)
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
      const text = message.string()
      if (sequence === this.#top + 1 && !this.#isDoubted) {
        this.#received(sequence, text)
        this.#take(text)
      } else {
        const passed = this.#early.hold(text)
        if (passed !== undefined) this.#take(passed)
        void this.catchUp()
      }
    }))
    this.#startedAt = kept.clock.now()
    const losses = this.#losses
    const { state, created } = await kept.setup.use(this.#plan, () => link.jsm.streams.info(this.#plan.name))
    const newest = await this.#idAt(state.last_seq).catch(() => '')
    this.#created = String(created)
    this.#startedBehind = state.last_seq
    // More may have come meanwhile.
    if (this.#top < state.last_seq) [this.#top, this.#newest] = [state.last_seq, newest]
    this.#missed.isRead()
    // There may be very many of them, for which no start waits.
    this.#pass(state, losses).catch(() => {})
  }

  /**
   * Remembers what was kept at the start, which concerns nobody here.
   *
   * @param losses how often the link had been lost by then: behind a break other messages may have its numbers
   */
  async #pass ({ first_seq: first, last_seq: last, messages }: StreamInfo['state'], losses: number): Promise<void> {
    if (messages > PASSED) return
    for (let top = messages === 0 ? last : first - 1; top < last;) {
      const page = await this.#page(top, last)
      if (losses !== this.#losses) return
      // Where some are past their time meanwhile, the page reaches further.
      for (const { seq, text } of page) if (seq <= last) this.#passKept(text)
      top = page.at(-1)!.seq
    }
    this.#isPassed = true
  }

  #passKept (text: string): void {
    try {
      this.#envelopes.pass(text)
    } catch {
      // What cannot be read is not opened later either.
    }
  }

  /** Called when the link breaks: the server may come back with other messages under the same numbers. */
  lost (): void {
    this.#isDoubted = true
    if (this.#options.kept === undefined) this.#missed.note()
    this.#losses++
  }

  #received (sequence: number, text: string): void {
    this.#top = sequence
    this.#newest = idOf(text)
  }

  /** @returns the id of a message of the stream; empty where it has none of this number */
  async #idAt (seq: number): Promise<string> {
    if (seq === 0) return ''
    const { link } = this.#options
    const message = await link.attempt(() => link.jsm.streams.getMessage(this.#plan.name, { seq }))
    return message === null ? '' : idOf(Buffer.from(message.data).toString())
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
    let mayBeKept = false
    for (let isAgain = false; ; isAgain = true) {
      try {
        const timeout = Math.ceil((until - performance.now()) / (isAgain ? 1 : 2))
        const publish = async (): Promise<unknown> => {
          return await link.publish(this.#plan.subjects[0]!, text, { msgID: id, timeout })
        }
        await kept.setup.use(this.#plan, publish, 'change')
        return
      } catch (error) {
        mayBeKept ||= isUncertain(error)
        // It is known by its id, so that it may be sent again over the link that follows.
        if (mayBeKept && !isAgain) await link.back(until - performance.now())
        if (isAgain || !link.isUp || performance.now() >= until) throw mayBeKept ? away('unknown') : error
      }
    }
  }

  /** Reads messages that were not received. Never rejects: what fails is tried again soon. */
  async catchUp (): Promise<void> {
    const { kept, link } = this.#options
    if (kept === undefined) {
      // What was sent meanwhile is nowhere to be read.
      if (link.isUp) this.#missed.isRead()
      return
    }
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
    const { link } = this.#options
    if (!link.isUp) throw away()
    this.#missed.begins()
    const losses = this.#losses
    const { state, created } = await this.#look()
    const last = state.last_seq
    // The stream was created again, or has older data: its numbers do not tell which of its messages were received.
    if (String(created) !== this.#created || last < this.#top) this.#restart()
    this.#created = String(created)
    if (state.messages === 0 && this.#top !== last) [this.#top, this.#newest] = [last, '']
    const compared = keyOf(link.serverId, this.#created, String(last), String(state.last_ts))
    // Both are asked at once, since a revocation may be waiting. What is read is taken behind what is before it.
    const [isSame, page] = await Promise.all([
      this.#compared === compared || this.#isSame(state),
      this.#top < last ? this.#page(this.#top, last) : []
    ])
    if (isSame) this.#takeAll(page)
    else this.#restart()
    while (this.#top < last) this.#takeAll(await this.#page(this.#top, last))
    this.#compared = compared
    this.#isDoubted = losses !== this.#losses
    this.#missed.isRead()
  }

  /** Reads all there is once more: what was received is passed over, and what was lost with its number is not there. */
  #restart (): void {
    this.#top = 0
    this.#missed.note()
  }

  /** Whether the newest message that was received has its number still, as far as it can be there. */
  async #isSame ({ first_seq: first, messages }: StreamInfo['state']): Promise<boolean> {
    if (messages === 0 || this.#top < first) return true
    const newest = this.#newest
    return await this.#idAt(this.#top) === newest
  }

  /** Reads the messages behind a number, up to another one. */
  async #page (top: number, last: number): Promise<readonly Kept[]> {
    const { messages } = await fetchAll(this.#options.link, {
      stream: this.#plan.name,
      subject: this.#plan.subjects[0]!,
      start: top + 1,
      most: Math.min(PAGE, last - top)
    })
    // Age alone removes messages, the oldest first, so the newest is there: a server that has it not leads no more.
    if (messages.length === 0) throw away()
    return messages
  }

  #takeAll (messages: readonly Kept[]): void {
    for (const { seq, time, text } of messages) {
      if (seq > this.#top) this.#received(seq, text)
      const isNew = this.#isPassed || seq > this.#startedBehind || time >= this.#startedAt
      if (isNew) this.#takeKept(text, this.#options.kept!.clock.now() - time)
    }
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
