import type { Packet } from '../../protocol/packet.js'
import { keyOf } from '../../protocol/key.js'
import type { Publication, RoomSettings } from '../adapter.js'
import type { NatsClock } from './clock.js'
import { away, isConflict, type NatsLink } from './link.js'
import type { Life, NatsLives, NumberedPlan } from './lives.js'
import { fetchCurrent, fetchEvery } from './reading.js'
import { removeValue } from './removal.js'
import { tokenOf } from './tokens.js'
import type { Unread } from '../broker/unread.js'
import { decodePayload } from '../broker/payload.js'
import { latestTtl } from '../../retention/latest.js'
import { DAY, MAX_LATEST } from '../../retention/bounds.js'

export interface NatsLatestOptions {
  readonly link: NatsLink
  readonly lives: NatsLives
  readonly clock: NatsClock
  readonly prefix: string
  /** Milliseconds that an idempotency key is remembered. */
  readonly idempotency: number
  readonly unread: Unread
}

/** A value that a node did not receive when it was set. `age` is the milliseconds since then. */
export interface MissedValue {
  readonly token: string
  readonly version: number
  readonly age: number
  readonly text: string
}

/** How a value is sent. */
export interface Sending {
  /** Id of the message, by which the server knows it again; absent where it may not be given another. */
  readonly msgID: string | undefined
  /** Milliseconds to wait for the answer. */
  readonly patience: number
}

/** The result of setting a value. */
export interface SetValue {
  readonly version: number
  /** Whether the key of the publication was used before, or the value that it removes has been replaced. */
  readonly isVain: boolean
}

/**
 * Keeps the `latest` values of all rooms in one stream, which has the newest of each subject. Its numbers order them
 * for all nodes, and it forwards each to the subscribers, so that a value is set and sent in one step.
 */
export class NatsLatest {
  readonly plan: NumberedPlan
  readonly #options: NatsLatestOptions
  /** The stream's newest number at the last two readings while the link stood. */
  #seen: readonly [before: number, now: number] = [0, 0]
  #epoch = ''
  /** Where the stream stood before values may have been missed; absent once they have been read. */
  #missedFrom: { readonly epoch: string, readonly sequence: number } | undefined
  /** How often values may have been missed. */
  #losses = 0
  /** Server that led the stream at the last reading, where there are several. */
  #leader: string | undefined

  constructor (options: NatsLatestOptions) {
    this.#options = options
    const { prefix, idempotency } = options
    this.plan = {
      name: `${prefix}_latest`,
      subjects: [`${prefix}.latest.*.*`],
      perSubject: 1,
      maxAge: DAY,
      duplicates: idempotency,
      republish: [`${prefix}.latest.*.*`, `${prefix}.value.{{wildcard(1)}}.{{wildcard(2)}}`],
      probe: `${prefix}.latest.~.~`
    }
  }

  /**
   * Sets or removes a value, once.
   *
   * @param life of the stream, as `text` has it
   * @throws Refusal `unavailable`, with the outcome `unknown` when it may be set all the same; the error of the server
   *   for a stream that is missing
   */
  async set (
    room: string,
    { type, key = '', removes }: Publication,
    { shift }: Pick<Life, 'shift'>,
    text: string,
    { msgID, patience }: Sending
  ): Promise<SetValue> {
    const { link, prefix } = this.#options
    const place = `${tokenOf(room)}.${tokenOf(keyOf(type, key))}`
    const subject = `${prefix}.latest.${place}`
    const id = msgID === undefined ? {} : { msgID }
    const known = removes?.version === undefined ? undefined : removes.version - shift
    // A value of a former life of the stream is not in this one.
    if (known !== undefined && known <= 0) return { version: 0, isVain: true }
    try {
      if (known !== undefined && link.isClustered) {
        const forwarded = `${prefix}.value.${place}`
        const { seq, isVain } = await removeValue(link, { subject, forwarded, text, known, patience, ...id })
        return { version: shift + seq, isVain }
      }
      const { seq, duplicate } = await link.publish(subject, text, {
        ...id,
        timeout: patience,
        ...(known === undefined ? {} : { expect: { lastSubjectSequence: known } })
      })
      return { version: shift + seq, isVain: duplicate }
    } catch (error) {
      if (known === undefined || !isConflict(error)) throw error
      return { version: 0, isVain: true }
    }
  }

  /** Returns the version of a value that was received, if its life is the one that is known here. */
  versionOf (sequence: number, epoch: string | undefined): number | undefined {
    const life = this.#options.lives.current(this.plan.name)
    return life === undefined || life.epoch !== epoch ? undefined : life.shift + sequence
  }

  /** Current values of a room, in the order in which they were set. */
  async read (room: string, settings: RoomSettings): Promise<readonly Packet[]> {
    const { clock, prefix, unread } = this.#options
    const now = clock.now()
    const oldest = now - latestTtl(settings)
    const subject = `${prefix}.latest.${tokenOf(room)}.*`
    const { messages, life: { shift } } = await fetchCurrent(this.#options, this.plan, subject)
    const packets = messages.filter(({ time }) => time > oldest).flatMap(({ seq, time, text }) => {
      try {
        const packet = decodePayload(room, text, { version: shift + seq, age: Math.max(0, now - time) })
        // One that was put back is older than its message.
        return packet.event!.age! < now - oldest ? packet : []
      } catch (error) {
        unread.failed(error, 'latest', text.length)
        return []
      }
    })
    if (packets.length <= MAX_LATEST) return packets
    // Removals give way to values.
    const values = packets.filter(({ event }) => event!.isRemoval !== true).slice(-MAX_LATEST)
    const removals = packets.filter(({ event }) => event!.isRemoval === true)
    return [...removals.slice(Math.max(0, removals.length + values.length - MAX_LATEST)), ...values]
  }

  /** Called where values may be missed from now on. Until they are read, what `look` finds says nothing of them. */
  lost (): void {
    this.#losses++
    this.#missedFrom ??= { epoch: this.#epoch, sequence: this.#seen[0] }
  }

  /**
   * Notes how far the stream is: every earlier value has been received by now, or will be by the next reading.
   *
   * @returns whether another server leads the stream than at the last reading
   */
  async look (): Promise<boolean> {
    const { info: { state, cluster }, life } = await this.#options.lives.verify(this.plan)
    const [, now] = this.#seen
    this.#seen = life.epoch === this.#epoch ? [now, state.last_seq] : [0, state.last_seq]
    this.#epoch = life.epoch
    const before = this.#leader
    this.#leader = cluster?.leader
    return before !== undefined && before !== this.#leader
  }

  /**
   * Values set in any room since the reading before the last one, or since the one before they may be missed, each with
   * the token of its room: those that a broken link may have kept from this node.
   *
   * @param isWanted whether values of a room are wanted, by its token
   * @param isAll whether all values are wanted, whenever they were set
   */
  async missed (isWanted: (token: string) => boolean, isAll = false): Promise<readonly MissedValue[]> {
    const { clock, lives, prefix } = this.#options
    const losses = this.#losses
    const { info, life } = await lives.verify(this.plan)
    const known = this.#missedFrom ?? { epoch: this.#epoch, sequence: this.#seen[0] }
    const from = life.epoch === known.epoch && !isAll ? known.sequence : 0
    if (info.state.last_seq <= from || info.state.messages === 0) {
      this.#found(losses)
      return []
    }
    const { messages, last, life: { epoch } } = await fetchEvery(
      this.#options,
      this.plan,
      `${prefix}.latest.>`,
      from + 1,
      ({ subject }) => isWanted(roomTokenOf(subject))
    )
    // The newest is there, whatever was set: a server that has it not leads no more.
    if (epoch !== life.epoch || last < info.state.last_seq) throw away()
    this.#found(losses)
    const now = clock.now()
    return messages.map(({ subject, seq, time, text }) => {
      return { token: roomTokenOf(subject), version: life.shift + seq, age: Math.max(0, now - time), text }
    })
  }

  /** @param losses how often values had been missed when their reading began */
  #found (losses: number): void { if (losses === this.#losses) this.#missedFrom = undefined }
}

function roomTokenOf (subject: string): string { return subject.split('.').at(-2)! }
