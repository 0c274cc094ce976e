import type { Msg } from '@nats-io/transport-node'
import type { Packet } from '../../protocol/packet.js'
import type { AdapterHost } from '../adapter.js'
import { decodePresenceChange, Undecodable } from '../broker/decode.js'
import type { Followed } from '../broker/followed-rooms.js'
import { decodePayload, originOf, splitOrigin } from '../broker/payload.js'
import type { NatsLatest } from './latest.js'
import type { NatsLives } from './lives.js'
import type { NatsLostValues } from './lost-values.js'
import type { NatsPresence } from './presence.js'
import type { NatsPublishing } from './publishing.js'
import type { NatsRereading } from './rereading.js'
import { arrivalOf, type NatsStreams } from './streams.js'
import type { NatsTexts } from './texts.js'
import type { LogicalVersions } from './versions.js'

/** The parts that need JetStream, as far as messages concern them. */
export interface ArrivalParts {
  readonly lives: NatsLives
  readonly streams: Pick<NatsStreams, 'plan'>
  readonly latest: Pick<NatsLatest, 'plan' | 'versionOf'>
  readonly lost: Pick<NatsLostValues, 'isOutdone'>
  readonly rereading: Pick<NatsRereading, 'values' | 'texts'>
  readonly texts: Pick<NatsTexts, 'arrived'>
  readonly presence: Pick<NatsPresence, 'heard'>
}

export interface ArrivalsOptions {
  readonly versions: Pick<LogicalVersions, 'saw'>
  /** Whether the room is still followed as it was when the subscription began. */
  readonly isFollowed: (followed: Followed) => boolean
  /** Absent without JetStream. */
  readonly parts: () => ArrivalParts | undefined
  readonly publishing: () => Pick<NatsPublishing, 'isRepeated' | 'delivered'>
  readonly host: () => AdapterHost
  /** Tells that a stream may have another life than this node knows. */
  readonly doubt: (stream: string) => void
}

/** Takes what the subscriptions of a room bring: events, values, stretches of texts and changes of presence. */
export class Arrivals {
  readonly #options: ArrivalsOptions
  /** Messages so far. */
  count = 0

  constructor (options: ArrivalsOptions) {
    this.#options = options
  }

  /** Takes an event, or a change of presence. */
  message (followed: Followed, message: Msg): void {
    if (!this.#counts(followed)) return
    const { room } = followed
    const text = message.string()
    const sequence = Number(message.headers?.get('Nats-Sequence'))
    if (sequence > 0) return this.#numbered(followed, text, sequence, Number(message.headers!.get('Nats-Last-Sequence')))
    const end = text.indexOf('\n')
    const rest = text.slice(end + 1)
    if (text[0] === 'p') return this.#presence(room, rest)
    if (text[0] !== 'v' && text[0] !== 'l') throw new Undecodable('a message of an unknown kind')
    const version = text[0] === 'l' ? Number(text.slice(2, end)) : undefined
    const packet = decodePayload(room, rest, version === undefined ? {} : { version })
    if (version !== undefined) this.#options.versions.saw(version)
    const origin = originOf(rest)
    if (!this.#options.publishing().isRepeated(origin)) this.#deliver(room, packet, origin)
  }

  /** Takes an event of the room's history. */
  #numbered ({ room, settings, tail }: Followed, text: string, sequence: number, previous: number): void {
    if (tail === undefined) return
    const [origin, epoch] = splitOrigin(originOf(text))
    const { lives, streams } = this.#options.parts()!
    const { name } = streams.plan(settings)
    const life = lives.current(name)
    if (life === undefined) return
    if (epoch === life.epoch) lives.saw(name, epoch, sequence, origin)
    // Its publisher knows a life that this node does not know, or does not know the one that this node knows. Reading
    // tells which.
    else if (!life.before.some((former) => former.epoch === epoch)) this.#options.doubt(name)
    tail.accept(arrivalOf({ room, epoch: epoch ?? life.epoch, offset: sequence, previous }, text), true)
  }

  /** Takes a `latest` value that was set. */
  value (followed: Followed, message: Msg): void {
    if (!this.#counts(followed)) return
    const { room } = followed
    const { latest, lives, lost, rereading } = this.#options.parts()!
    const text = message.string()
    const sequence = Number(message.headers?.get('Nats-Sequence'))
    const [origin, epoch] = splitOrigin(originOf(text))
    const version = latest.versionOf(sequence, epoch)
    if (version === undefined) {
      lives.forget(latest.plan.name)
      rereading.values(followed)
      return
    }
    lives.saw(latest.plan.name, epoch, sequence, origin)
    const packet = decodePayload(room, text, { version })
    if (lost.isOutdone(room, packet)) rereading.values(followed)
    else this.#deliver(room, packet, origin)
  }

  /** Takes a stretch of a text that was written. */
  stretch (followed: Followed, message: Msg): void {
    if (!this.#counts(followed)) return
    const { room } = followed
    const { texts, rereading } = this.#options.parts()!
    const packet = texts.arrived(room, Number(message.headers?.get('Nats-Sequence')), message.string())
    if (packet === 'unknown') rereading.texts(followed)
    else if (packet !== undefined) void this.#options.host().event(room, packet)
  }

  #presence (room: string, text: string): void {
    const change = decodePresenceChange(text)
    const parts = this.#options.parts()
    if (parts === undefined) this.#options.host().presence(room, change)
    else parts.presence.heard(room, change)
  }

  #deliver (room: string, packet: Packet, origin: string): void {
    const { publishing, host } = this.#options
    publishing().delivered(origin, host().event(room, packet))
  }

  /** Counts a message, unless its room has been left since. */
  #counts (followed: Followed): boolean {
    const isFollowed = this.#options.isFollowed(followed)
    if (isFollowed) this.count++
    return isFollowed
  }
}
