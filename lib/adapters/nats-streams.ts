import { createHash } from 'node:crypto'
import type { StreamInfo } from '@nats-io/jetstream'
import type { Position } from '../protocol/position.js'
import type { HistoryQuery, RoomSettings } from './adapter.js'
import { epochOf, isMissing, type NatsLink } from './nats-link.js'
import { decodePayload, originOf } from './wire.js'
import { tokenOf } from './nats-tokens.js'
import type { Arrival, Range } from './tail.js'

export interface NatsStreamsOptions {
  readonly link: NatsLink
  readonly prefix: string
  readonly replicas: number
  readonly storage: 'file' | 'memory'
  /** milliseconds that an idempotency key is remembered */
  readonly idempotency: number
}

interface Opened { readonly name: string, readonly epoch: string }

/** What a read found, and the newest sequence of the whole stream at that time: the bound for any position of it. */
export interface Found { readonly range: Range, readonly last: number }

const DAY = 86_400_000
const NANOS = 1_000_000

/**
 * One JetStream stream per definition that has history, a subject in it per room. What is accepted is sent on by the server
 * (`republish`) to the subject that nodes listen to, with its sequence and the one before it. A stream keeps one event per room more
 * than the history is long: it is the witness that nothing between it and the next was trimmed.
 */
export class NatsStreams {
  readonly #options: NatsStreamsOptions
  readonly #opened = new Map<string, Promise<Opened>>()

  constructor (options: NatsStreamsOptions) {
    this.#options = options
  }

  /** The server may have lost its streams: look again. */
  forget (): void { this.#opened.clear() }

  subject (room: string, { definition }: RoomSettings): string {
    return `${this.#options.prefix}.kept.${hashOf(definition)}.${tokenOf(room)}`
  }

  async open (settings: RoomSettings): Promise<Opened> {
    const { definition } = settings
    let opened = this.#opened.get(definition)
    if (opened === undefined) {
      opened = this.#open(settings)
      this.#opened.set(definition, opened)
      opened.catch(() => { if (this.#opened.get(definition) === opened) this.#opened.delete(definition) })
    }
    return await opened
  }

  async #open ({ definition, history }: RoomSettings): Promise<Opened> {
    const { link, prefix, replicas, storage, idempotency } = this.#options
    if (history === false) throw new TypeError('a room without history has no stream')
    const hash = hashOf(definition)
    const name = `${prefix}_${hash}`
    const config = {
      name,
      subjects: [`${prefix}.kept.${hash}.*`],
      max_msgs_per_subject: history.size + 1,
      max_age: Math.max(DAY, history.ttl) * NANOS,
      duplicate_window: idempotency * NANOS,
      num_replicas: replicas,
      storage: storage as never,
      discard: 'old' as never,
      allow_direct: true,
      republish: { src: `${prefix}.kept.${hash}.*`, dest: `${prefix}.room.{{wildcard(1)}}` }
    }
    const info = await link.attempt(async () => {
      try {
        const known = await link.jsm.streams.info(name)
        return known.config.max_msgs_per_subject === config.max_msgs_per_subject ? known : await link.jsm.streams.update(name, config)
      } catch (error) {
        if (!isMissing(error)) throw error
        return await link.jsm.streams.add(config)
      }
    })
    return { name, epoch: epochOf(info) }
  }

  /** The newest position of the stream: nothing of any of its rooms is above it. */
  async top (settings: RoomSettings): Promise<Position> {
    const info = await this.#info(settings)
    return { epoch: epochOf(info), offset: info.state.last_seq }
  }

  /** The newest event of a room. */
  async position (room: string, settings: RoomSettings): Promise<Position> {
    const { link } = this.#options
    const { name, epoch } = await this.open(settings)
    const newest = await link.attempt(() => link.jsm.direct.getMessage(name, { last_by_subj: this.subject(room, settings) }))
    return { epoch, offset: newest?.seq ?? 0 }
  }

  async #info (settings: RoomSettings, subject?: string): Promise<StreamInfo> {
    const { link } = this.#options
    const { name } = await this.open(settings)
    try {
      return await link.attempt(() => link.jsm.streams.info(name, subject === undefined ? {} : { subjects_filter: subject }))
    } catch (error) {
      if (!isMissing(error)) throw error
      this.#opened.delete(settings.definition)
      await this.open(settings)
      return await link.attempt(() => link.jsm.streams.info(name, subject === undefined ? {} : { subjects_filter: subject }))
    }
  }

  async read (room: string, settings: RoomSettings, { since, last, limit }: HistoryQuery): Promise<Found> {
    const history = settings.history as Exclude<RoomSettings['history'], false>
    const subject = this.subject(room, settings)
    const info = await this.#info(settings, subject)
    const epoch = epochOf(info)
    const { first_seq: first, last_seq: newest, subjects = {} } = info.state
    const held = subjects[subject] ?? 0
    const oldest = Date.now() - history.ttl
    let floor = Math.max(0, first - 1)
    if (held > history.size) {
      const { link } = this.#options
      const witness = await link.attempt(() => link.jsm.direct.getMessage(info.config.name, { seq: first, next_by_subj: subject }))
      floor = Math.max(floor, witness?.seq ?? 0)
    }
    const from = since === undefined ? 0 : since.offset
    const wanted = since === undefined ? held : limit
    const { messages, isAll } = held === 0 ? { messages: [], isAll: true } : await this.#fetch(info.config.name, subject, from + 1, wanted)
    const events: Arrival[] = []
    let previous = from
    for (const { seq, time, text } of messages) {
      if (time <= oldest) floor = Math.max(floor, seq)
      else if (seq > floor || since !== undefined) events.push(arrivalOf(room, epoch, seq, previous, text))
      previous = seq
    }
    const shown = since === undefined ? lastOf(events.filter(({ offset }) => offset > floor), Math.min(last ?? limit, limit)) : events
    const newestOfAll = Math.max(newest, messages.at(-1)?.seq ?? 0)
    // A reader that stands above all there is knows another life of this stream.
    const top = isAll ? Math.min(Math.max(from, previous), newestOfAll) : newestOfAll
    return { range: { epoch, top, floor, before: [], events: shown }, last: newestOfAll }
  }

  /** Reads through a consumer of its own: one request however many events. */
  async #fetch (stream: string, subject: string, start: number, most: number): Promise<{ messages: Array<{ seq: number, time: number, text: string }>, isAll: boolean }> {
    const { link } = this.#options
    return await link.attempt(async () => {
      const consumer = await link.jsm.consumers.add(stream, {
        ack_policy: 'none' as never,
        deliver_policy: 'by_start_sequence' as never,
        opt_start_seq: start,
        filter_subject: subject,
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: 10_000 * NANOS
      })
      const count = Math.min(most, consumer.num_pending)
      const messages: Array<{ seq: number, time: number, text: string }> = []
      if (count > 0) {
        const reader = await link.js.consumers.get(stream, consumer.name)
        const found = await reader.fetch({ max_messages: count, expires: Math.max(1_000, link.timeout) })
        for await (const message of found) {
          messages.push({ seq: message.seq, time: message.time.getTime(), text: message.string() })
          if (messages.length === count) break
        }
      }
      // Goes by itself when nobody reads it; nobody has to wait for that.
      link.jsm.consumers.delete(stream, consumer.name).catch(() => {})
      return { messages, isAll: messages.length >= consumer.num_pending }
    })
  }
}

function lastOf<T> (list: readonly T[], count: number): T[] {
  return count === 0 ? [] : list.slice(-count)
}

export function arrivalOf (room: string, epoch: string, offset: number, previous: number, payload: string): Arrival {
  return { epoch, offset, previous, origin: originOf(payload), packet: () => decodePayload(room, payload, { position: { epoch, offset } }) }
}

function hashOf (definition: string): string {
  return createHash('sha1').update(definition).digest('hex').slice(0, 12)
}
