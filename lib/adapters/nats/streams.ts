import { createHash } from 'node:crypto'
import type { StreamInfo } from '@nats-io/jetstream'
import type { Packet } from '../../protocol/packet.js'
import type { Position } from '../../protocol/position.js'
import type { HistoryQuery, RoomSettings } from '../adapter.js'
import type { NatsClock } from './clock.js'
import { away, type NatsLink } from './link.js'
import type { Found as Looked, Life, NatsLives, NumberedPlan } from './lives.js'
import type { Kept } from './pages.js'
import { fetchAll, numberOf, READINGS } from './reading.js'
import { tokenOf } from './tokens.js'
import type { Arrival, Range } from '../broker/tail.js'
import { decodePayload, identityOf, isClear, originOf, splitOrigin } from '../broker/payload.js'
import { DAY } from '../../retention/bounds.js'

export interface NatsStreamsOptions {
  readonly link: NatsLink
  readonly lives: NatsLives
  readonly clock: NatsClock
  readonly prefix: string
  /** Milliseconds that an idempotency key is remembered. */
  readonly idempotency: number
}

/** The newest position of a stream, as told by the server that leads it; it has a name where there are several. */
export interface Top extends Position { readonly leader: string | undefined }

/** The result of a read, and the newest sequence of the whole stream at that time, which bounds any position of it. */
export interface Found { readonly range: Range, readonly last: number }

/**
 * Milliseconds for one page of events behind a position, from a slow server: a waiting reader must not wait long, and
 * continues from what there is.
 */
const PAGE_TIME = 500

/**
 * One JetStream stream per definition that has history, with a subject per room. The server forwards accepted events
 * (`republish`) to the subject that nodes subscribe, with their sequence and the one before. A stream keeps one event
 * per room more than the history is long: it proves that nothing between it and the next was trimmed.
 */
export class NatsStreams {
  readonly #options: NatsStreamsOptions
  readonly #plans = new Map<string, NumberedPlan>()

  constructor (options: NatsStreamsOptions) {
    this.#options = options
  }

  subject (room: string, { definition }: RoomSettings): string {
    return `${this.#options.prefix}.kept.${hashOf(definition)}.${tokenOf(room)}`
  }

  plan ({ definition, history }: RoomSettings): NumberedPlan {
    const { prefix, idempotency } = this.#options
    let plan = this.#plans.get(definition)
    if (plan === undefined) {
      if (history === false) throw new TypeError('a room without history has no stream')
      const hash = hashOf(definition)
      const subjects = `${prefix}.kept.${hash}.*`
      plan = {
        name: `${prefix}_${hash}`,
        subjects: [subjects],
        perSubject: history.size + 1,
        maxAge: Math.max(DAY, history.ttl),
        duplicates: idempotency,
        republish: [subjects, `${prefix}.room.{{wildcard(1)}}`],
        probe: `${prefix}.kept.${hash}.~`
      }
      this.#plans.set(definition, plan)
    }
    return plan
  }

  async life (settings: RoomSettings): Promise<Life> {
    return (await this.#options.lives.open(this.plan(settings))).life
  }

  /** Returns the newest position of the stream; no event of any of its rooms is above it. */
  async top (settings: RoomSettings): Promise<Top> {
    return topOf(await this.#options.lives.look(this.plan(settings)))
  }

  /** Returns the same position, after asking whether other nodes know of a new epoch. */
  async verify (settings: RoomSettings): Promise<Top> {
    return topOf(await this.#options.lives.verify(this.plan(settings)))
  }

  /** Returns the position of the newest event of a room. */
  async position (room: string, settings: RoomSettings): Promise<Position> {
    const { link } = this.#options
    const { name } = this.plan(settings)
    const { epoch } = await this.life(settings)
    const newest = await link.attempt(() => link.jsm.streams.getMessage(name, {
      last_by_subj: this.subject(room, settings)
    }))
    return { epoch, offset: newest?.seq ?? 0 }
  }

  /** Removes the events of a room before an offset from the server. */
  async purge (room: string, settings: RoomSettings, seq: number): Promise<void> {
    const { link } = this.#options
    const filter = this.subject(room, settings)
    await link.change(() => link.jsm.streams.purge(this.plan(settings).name, { filter, seq }))
  }

  /** @param isMember whether members wait for it who are told whatever is found to be lost later */
  async read (room: string, settings: RoomSettings, query: HistoryQuery, isMember = false): Promise<Found> {
    if (query.since !== undefined) await this.#options.lives.settle(this.plan(settings), query.since.epoch, isMember)
    for (let reading = 1; ; reading++) {
      const found = await this.#read(room, settings, query)
      if (found !== undefined) return found
      if (reading === READINGS) throw away()
    }
  }

  /**
   * Reads in the order in which the answers of several requests are right together: first how far the stream goes, then
   * its events, then where it begins by now. What came meanwhile was read as well, and what was removed meanwhile is
   * before that beginning.
   *
   * @returns `undefined` when the answers contradict each other, because another server led in between
   */
  async #read (
    room: string,
    settings: RoomSettings,
    { since, last, limit, bytes }: HistoryQuery
  ): Promise<Found | undefined> {
    const { link, lives, clock } = this.#options
    const history = settings.history as Exclude<RoomSettings['history'], false>
    const subject = this.subject(room, settings)
    const begun = await lives.look(this.plan(settings), subject)
    const { info, life: { epoch, before } } = begun
    const { last_seq: newest, subjects = {} } = info.state
    const held = subjects[subject] ?? 0
    const from = since === undefined ? 0 : since.offset
    // Nothing is behind the end, and what is before it is not asked for.
    if (since?.epoch === epoch && from === newest) {
      return { range: { epoch, top: newest, floor: 0, before, events: [] }, last: newest }
    }
    const now = clock.now()
    const oldest = now - history.ttl
    const most = Math.min(last ?? limit, limit)
    // Who asks for no events wants to know where the stream stands.
    const isAsked = (since === undefined ? most : limit) > 0
    const wanted = since === undefined ? held : limit
    const patience = since === undefined || bytes === undefined ? undefined : PAGE_TIME
    const stream = info.config.name
    // Of the newest events only the oldest that fit into the bytes are wanted, so the events before them are not read.
    const isSought = since === undefined && bytes !== undefined && most > 0 && most < held
    let start = isSought ? await numberOf(link, { stream, subject, index: held - most }) : from + 1
    // The oldest event only proves that nothing between it and the next was trimmed.
    let isProof = since === undefined && !isSought && held > history.size
    const events: Arrival[] = []
    let floor = 0
    let previous = from
    let isAll = isAsked
    let isPart = false
    let messages: Kept[] = []
    do {
      if (held === 0 || !isAsked) break
      ({ messages, isAll, isPart } = await fetchAll(link, { stream, subject, start, most: wanted, bytes, patience }))
      for (const { seq, time, text } of messages) {
        // A clear stands at the beginning of what is kept behind it, as what is past its time does.
        if (isProof || time <= oldest || isClear(text)) floor = Math.max(floor, seq)
        else events.push(arrivalOf({ room, epoch, offset: seq, previous, age: Math.max(0, now - time) }, text))
        isProof = false
        previous = seq
      }
      start = previous + 1
      // A page of expired events only would be empty, so the next one is read.
    } while (isPart && events.length === 0)
    const newestOfAll = Math.max(newest, messages.at(-1)?.seq ?? 0)
    const beginning = await this.#beginning(room, settings, begun, (seq) => {
      // The end that was read is the end of what was there, and an empty page is one behind which there is nothing.
      return isAll && seq > previous && (seq <= newestOfAll || messages.length === 0)
    })
    if (beginning === undefined) return undefined
    floor = Math.max(floor, beginning)
    const known = since === undefined ? events.filter(({ offset }) => offset > floor) : events
    const shown = since === undefined && !isPart ? lastOf(known, most) : known
    // A reader that stands above all events knows another life of this stream.
    const top = isAll ? Math.min(Math.max(from, previous), newestOfAll) : newestOfAll
    return { range: { epoch, top, floor, before, events: shown, isPart }, last: newestOfAll }
  }

  /**
   * Returns the offset before the oldest event of a room; what is not above it may have been removed. The leader is
   * asked, because a copy that is behind still has trimmed events.
   *
   * @param begun how the stream was before it was read
   * @param isMissing whether the newest event of the room should have been read and was not
   * @returns `undefined` when the stream is another one than then, or another server leads it
   */
  async #beginning (
    room: string,
    settings: RoomSettings,
    begun: Looked,
    isMissing: (newest: number) => boolean
  ): Promise<number | undefined> {
    const { link, lives } = this.#options
    const subject = this.subject(room, settings)
    const plan = this.plan(settings)
    const [{ info, life }, { offset: newest }] = await Promise.all([
      lives.look(plan, subject),
      this.position(room, settings)
    ])
    const { first_seq: first, last_seq: last, subjects = {} } = info.state
    if (life.epoch !== begun.life.epoch || last < begun.info.state.last_seq ||
      info.cluster?.leader !== begun.info.cluster?.leader || isMissing(newest)) {
      return undefined
    }
    const before = Math.max(0, first - 1)
    if ((subjects[subject] ?? 0) <= (settings.history as { readonly size: number }).size) return before
    const query = { seq: first, next_by_subj: subject }
    const oldest = await link.attempt(() => link.jsm.streams.getMessage(plan.name, query))
    return Math.max(before, oldest?.seq ?? 0)
  }
}

function topOf ({ info, life: { epoch } }: { readonly info: StreamInfo, readonly life: Life }): Top {
  return { epoch, offset: info.state.last_seq, leader: info.cluster?.leader }
}

function lastOf<T> (list: readonly T[], count: number): T[] {
  return count === 0 ? [] : list.slice(-count)
}

/** Where an event stands. `age` is the milliseconds for which the broker has kept it, absent for a new one. */
export interface Standing extends Position {
  readonly room: string
  readonly previous: number
  readonly age?: number
}

export function arrivalOf ({ room, epoch, offset, previous, age }: Standing, payload: string): Arrival {
  const [origin] = splitOrigin(originOf(payload))
  const [identity] = splitOrigin(identityOf(payload))
  const packet = (): Packet => decodePayload(room, payload, { position: { epoch, offset }, age })
  const at = { epoch, offset, previous, origin, identity, size: payload.length, packet }
  return isClear(payload) ? { ...at, isClear: true } : at
}

function hashOf (definition: string): string {
  return createHash('sha1').update(definition).digest('hex').slice(0, 12)
}
