import type { StreamInfo } from '@nats-io/jetstream'
import { EPOCH, isOffset } from '../../protocol/position.js'
import type { NatsClock } from './clock.js'
import { away, isMissing, type NatsLink } from './link.js'
import { Markers } from './markers.js'
import type { NatsSetup, StreamPlan } from './setup.js'
import { decoded, type NatsState } from './state.js'
import { Opened } from '../broker/opened.js'
import { isFields, parseJson } from '../broker/stored.js'
import { newEpoch } from '../history/stream.js'
import type { Former } from '../broker/tail.js'
import type { Unread } from '../broker/unread.js'
import { originOf, splitOrigin } from '../broker/payload.js'

/** A life of a stream: from its creation, or from a return to older data, to the next such event. */
export interface Life {
  /** When the stream was created, as the server says it. */
  readonly created: string
  readonly epoch: string
  /** Former lives, each with the last number that this one shares with it; newest first. */
  readonly before: readonly Former[]
  /** Added to a number to make it higher than all numbers of former lives. */
  readonly shift: number
  /** Server that last ran the stream, where there is only one. */
  readonly run: string
}

export interface NumberedPlan extends StreamPlan {
  /** Subject for a message that no subscriber reads. */
  readonly probe: string
}

/** `brokenAt` is a number under which two different events were seen. */
interface Known { readonly life: Life, readonly markers: Markers, brokenAt: number | undefined }

export interface Found { readonly info: StreamInfo, readonly life: Life }

export interface LivesOptions {
  readonly link: NatsLink
  readonly setup: NatsSetup
  readonly state: NatsState
  readonly clock: NatsClock
  /** Called when another life has begun, or may have: nothing known of the stream's numbers holds any more. */
  readonly onDoubt: (name: string) => void
  readonly unread: Unread
  readonly log: { warn (object: object, message: string): void }
}

const MAX_BEFORE = 8
/** Numbers per millisecond that a stream does not reach. */
const RATE = 1_000
/** Of the newest events that this node remembers, the number that is read to recognise the stream. */
const ASKED = 3
/** Numbers that other nodes may have used before this node checks. */
const LOOKED_BACK = 16

/**
 * Tells the lives of streams apart. The server keeps nothing that a restore would not take back with the rest. So each
 * node remembers what it has seen and compares it after each reconnect, and a stream that went back gets a new epoch,
 * which all nodes read.
 */
export class NatsLives {
  readonly #options: LivesOptions
  readonly #known = new Map<string, Known>()
  readonly #opened = new Opened<Found>()
  #lostAt = Number.NEGATIVE_INFINITY

  constructor (options: LivesOptions) {
    this.#options = options
  }

  /** Called when the link breaks: what was kept by then is known to all members that are still here. */
  lost (): void { this.#lostAt = this.#options.clock.now() }

  forget (name?: string): void {
    this.#options.setup.forget(name)
    this.#opened.forget(name)
  }

  async open (plan: NumberedPlan): Promise<Found> { return await this.#opened.get(plan.name, () => this.#open(plan)) }

  async #open (plan: NumberedPlan): Promise<Found> {
    // Events that come while the answer is under way are not in it.
    const before = this.#known.get(plan.name)?.markers
    const seen = before?.top ?? 0
    const info = await this.#options.setup.open(plan)
    // Another life may have been found meanwhile, whose numbers have nothing to do with the earlier ones.
    const markers = this.#known.get(plan.name)?.markers
    return {
      info,
      life: await this.#identify(plan, info, markers === before ? seen : Math.min(markers!.top, info.state.last_seq))
    }
  }

  /** Makes a request to a stream. A missing stream is created again, and the request repeated. */
  async use<T> (plan: NumberedPlan, ask: (opened: Found) => Promise<T>): Promise<T> {
    for (let isAgain = false; ; isAgain = true) {
      const opened = await this.open(plan)
      try {
        return await this.#options.link.attempt(() => ask(opened))
      } catch (error) {
        if (!isMissing(error)) throw error
        this.doubt(plan.name)
        if (isAgain) throw away()
      }
    }
  }

  /** Returns the life of a stream as far as this node knows it without asking. */
  current (name: string): Life | undefined { return this.#known.get(name)?.life }

  top (name: string): number { return this.#known.get(name)?.markers.top ?? 0 }

  /**
   * Takes an event of the stream that was received or accepted.
   *
   * @param epoch the life to which the number belongs: an event that comes late from a former life says nothing of
   *   this one, whose numbers are lower
   */
  saw (name: string, epoch: string | undefined, sequence: number, origin: string): void {
    const known = this.#known.get(name)
    if (known === undefined || known.life.epoch !== epoch || known.markers.saw(sequence, origin)) return
    known.brokenAt = Math.min(known.brokenAt ?? sequence, sequence)
    this.doubt(name)
  }

  /** Tells that the stream is not as it is known here. */
  doubt (name: string): void {
    this.forget(name)
    this.#options.onDoubt(name)
  }

  /**
   * Reads the stream as it is now, in whichever life it is.
   *
   * @param subject to count the events of
   * @throws Refusal `unavailable`, also when what is read is not what it is known to be
   */
  async look (plan: NumberedPlan, subject?: string): Promise<Found> {
    const { link } = this.#options
    const ask = async ({ life }: Found): Promise<Found> => {
      const info = await link.jsm.streams.info(plan.name, subject === undefined ? {} : { subjects_filter: subject })
      return { info, life }
    }
    for (let isAgain = false; ; isAgain = true) {
      const seen = this.top(plan.name)
      const found = await this.use(plan, ask)
      const { info, life } = found
      if (String(info.created) === life.created && info.state.last_seq >= seen) return found
      // A server that leads no more answers like one that has older data.
      if (isAgain) throw away()
      this.doubt(plan.name)
    }
  }

  /** Does the same, and checks whether another node has found a new life. */
  async verify (plan: NumberedPlan): Promise<Found> {
    const { life, info } = await this.look(plan)
    const record = this.#decode(await this.#options.state.read(keyOfLife(plan.name)))
    if (record?.epoch === life.epoch) return { life, info }
    this.doubt(plan.name)
    return await this.open(plan)
  }

  async #identify (plan: NumberedPlan, info: StreamInfo, seen: number): Promise<Life> {
    const { state, link, log, clock } = this.#options
    const { name } = plan
    const created = String(info.created)
    // In a cluster each server has an id of its own, and any of them may run the stream.
    const run = link.isClustered ? '' : link.serverId
    const remembered = this.#known.get(name)
    const known = remembered?.life.created === created ? remembered : undefined
    const shared = known === undefined ? undefined : await this.#compare(plan, known, info.state.last_seq, seen)
    const life = await state.change<Life>(keyOfLife(name), (text) => {
      const record = this.#decode(text)
      const former = remembered?.life.created === created ? undefined : remembered?.life ?? record
      const found = this.#lifeOf(record?.created === created ? record : undefined, known?.life, former, shared, {
        created,
        run,
        last: info.state.last_seq,
        now: clock.now()
      })
      return found === record ? { result: found } : { value: JSON.stringify(found), result: found }
    })
    if (known?.life.epoch === life.epoch) this.#known.set(name, { life, markers: known.markers, brokenAt: undefined })
    else {
      if (remembered !== undefined) {
        log.warn(
          { stream: name, epoch: life.epoch, before: life.before },
          'a NATS stream was made anew or has older data than before: members are told of the gap'
        )
      }
      this.#known.set(name, { life, markers: new Markers(info.state.last_seq), brokenAt: undefined })
      if (remembered !== undefined) this.#options.onDoubt(name)
    }
    return life
  }

  /**
   * @param shared last number that the stream has in common with what this node remembers of it; `undefined` when the
   *   stream just continued
   */
  #lifeOf (
    record: Life | undefined,
    known: Life | undefined,
    former: Life | undefined,
    shared: number | undefined,
    { created, run, last, now }: { created: string, run: string, last: number, now: number }
  ): Life {
    const next = (former: Life, common: number, isLossy: boolean): Life => {
      const last: Former = { epoch: former.epoch, offset: common, ...(isLossy ? { isLossy } : {}) }
      const before = [last, ...former.before.map((each) => ({ ...each, offset: Math.min(each.offset, common) }))]
      return { created, run, epoch: newEpoch(), before: before.slice(0, MAX_BEFORE), shift: now * RATE }
    }
    if (known === undefined) {
      // Everything in a stream that was created again is new to members that knew the last one.
      if (record === undefined) {
        return former === undefined
          ? { created, run, epoch: newEpoch(), before: [], shift: now * RATE }
          : next(former, 0, true)
      }
      // The server was restarted, with unknown data: this node cannot tell whether the last events before that are
      // still there.
      return record.run === run ? record : next(record, last, false)
    }
    // The record is lost, or older than what this node remembers: then the record went back as well.
    const isOlder = record === undefined || known.before.some(({ epoch }) => epoch === record.epoch)
    if (!isOlder && record.epoch !== known.epoch) return record
    // It has a value only where something that this node remembers is missing.
    if (shared !== undefined) return next(known, shared, true)
    if (isOlder) return { ...known, run }
    return record.run === run ? record : { ...record, run }
  }

  /** @returns the last number in common; `undefined` when the stream is the remembered one and has just continued */
  async #compare (
    plan: NumberedPlan,
    { markers, brokenAt }: Known,
    last: number,
    seen: number
  ): Promise<number | undefined> {
    // Two servers have led the stream at once, or one has lost what it had accepted. Whatever it holds now, members may
    // have received other events.
    if (brokenAt !== undefined) return await this.#sameUpTo(plan, markers, brokenAt - 1)
    let end = last
    if (last < seen) {
      // The server that answered may have stood still for a while, and may no longer be the leader; a message accepted
      // now proves it.
      const { seq } = await this.#options.link.publish(plan.probe, '')
      if (seq > seen) return undefined
      end = seq - 1
    } else {
      const newest = markers.upTo(seen).slice(0, ASKED)
      const found = await Promise.all(newest.map(async ({ sequence, origin }) => {
        const message = await this.#message(plan, sequence)
        return message === undefined || message.origin === origin
      }))
      if (found.every(Boolean)) return undefined
    }
    return Math.max(await this.#oldUpTo(plan, end), await this.#sameUpTo(plan, markers, end))
  }

  /**
   * The last number, of the newest few, that was given before the link broke: a restore comes later, and removes events
   * but adds none.
   */
  async #oldUpTo (plan: NumberedPlan, end: number): Promise<number> {
    for (let sequence = end; sequence > Math.max(0, end - LOOKED_BACK); sequence--) {
      const found = await this.#message(plan, sequence)
      if (found !== undefined && found.time < this.#lostAt) return sequence
    }
    return 0
  }

  #decode (text: string | undefined): Life | undefined {
    return decoded('life', text, decodeLife, this.#options.unread)
  }

  /** Finds the last number whose event is the one that this node has seen. */
  async #sameUpTo (plan: NumberedPlan, markers: Markers, end: number): Promise<number> {
    const list = markers.upTo(end)
    // A binary search until the two bounds are neighbours: from `high` on the events are in common.
    let [low, high] = [-1, list.length]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      const { sequence, origin } = list[middle]!
      if ((await this.#message(plan, sequence))?.origin === origin) high = middle
      else low = middle
    }
    return list[high]?.sequence ?? 0
  }

  async #message (
    { name }: NumberedPlan,
    sequence: number
  ): Promise<{ readonly origin: string, readonly time: number } | undefined> {
    const { link } = this.#options
    const message = await link.attempt(() => link.jsm.streams.getMessage(name, { seq: sequence }))
    return message === null
      ? undefined
      : { origin: splitOrigin(originOf(Buffer.from(message.data).toString()))[0], time: message.time.getTime() }
  }
}

function keyOfLife (name: string): string { return `life.${name}` }

function decodeLife (text: string): Life | undefined {
  const value = parseJson(text)
  if (!isFields(value)) return undefined
  const { created, epoch, before, shift, run } = value
  if (typeof created !== 'string' || typeof epoch !== 'string' || !EPOCH.test(epoch) || !isOffset(shift) ||
    typeof run !== 'string' ||
    !Array.isArray(before)) {
    return undefined
  }
  const formers: Former[] = []
  for (const each of before as unknown[]) {
    if (!isFields(each) || typeof each.epoch !== 'string' || !isOffset(each.offset)) return undefined
    formers.push({ epoch: each.epoch, offset: each.offset, ...(each.isLossy === true ? { isLossy: true } : {}) })
  }
  return { created, epoch, before: formers, shift, run }
}
