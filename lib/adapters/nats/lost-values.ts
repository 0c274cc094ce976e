import { keyOf } from '../../protocol/key.js'
import type { Packet } from '../../protocol/packet.js'
import { Seldom } from '../../structures/seldom.js'
import { inBatches } from '../../structures/slices.js'
import type { AdapterHost } from '../adapter.js'
import { placeOf, publicationOf } from '../broker/lost-values.js'
import { decodePayload, encodePayload } from '../broker/payload.js'
import { isConflict, isTooLarge, type NatsLink } from './link.js'
import type { Life, NatsLives, NumberedPlan } from './lives.js'
import { messageIdOf } from './once.js'
import { removeValue } from './removal.js'
import { tokenOf } from './tokens.js'
import type { Unread } from '../broker/unread.js'

export interface NatsLostValuesOptions {
  readonly link: NatsLink
  readonly lives: NatsLives
  readonly plan: NumberedPlan
  readonly prefix: string
  /** Names this adapter among all that publish. */
  readonly tag: string
  readonly unread: Unread
  readonly host: () => Pick<AdapterHost, 'values'>
  readonly log: { warn (object: object, message: string): void }
}

/** What has become of the values of a room. */
export interface Restored {
  /** Values of the stream that the room is to be given; others give way to what is put back. */
  readonly given: readonly Packet[]
  /** Whether all that was lost is in the stream again, but for what the server never takes. */
  readonly isWhole: boolean
}

/** A value that is put back, and the number of what stands in its place, 0 for nothing. */
interface Lost { readonly packet: Packet, readonly known: number }

/** Lives of the stream that are remembered: values are kept for a day. */
const MAX_LIVES = 16
/** Values of one room that are put back at a time. */
const AT_ONCE = 20
/** How often one value is put back in place of an older one that another node has put back. */
const TRIES = 3

/**
 * Puts back `latest` values that the stream has lost. In a new life of the stream every number is above those of former
 * lives. So what this node shows by a number of a former life is what it has not found since.
 */
export class NatsLostValues {
  readonly #options: NatsLostValuesOptions
  /** Lives whose numbers may be shown here, the newest first. */
  #lives: ReadonlyArray<Pick<Life, 'epoch' | 'shift'>> = []
  /** The life to which everything that is shown here belongs, but for what was set without the broker. */
  #shown: string | undefined
  #count = 0
  readonly #seldom = new Seldom()

  constructor (options: NatsLostValuesOptions) {
    this.#options = options
  }

  /** Notes the life in which this node begins. */
  async start (): Promise<void> {
    const { life } = await this.#options.lives.open(this.#options.plan)
    this.restored(this.#note(life).epoch)
  }

  /** Returns the stream's life where it is not that of what is shown here: then all rooms are to be restored. */
  async begins (): Promise<string | undefined> {
    const { life } = await this.#options.lives.verify(this.#options.plan)
    return this.#note(life).epoch === this.#shown ? undefined : life.epoch
  }

  /** Notes that all rooms have been restored. */
  restored (epoch: string): void { this.#shown = epoch }

  #note (life: Life): Life {
    if (this.#lives[0]?.epoch !== life.epoch) {
      this.#lives = [life, ...this.#lives].sort((a, b) => b.shift - a.shift).slice(0, MAX_LIVES)
    }
    return life
  }

  /** Whether what another node has put back is older than what a room here shows and has not put back yet. */
  isOutdone (room: string, packet: Packet): boolean {
    const { lives, plan, host } = this.#options
    const { former } = packet.event!
    const life = lives.current(plan.name)
    if (former === undefined || life === undefined) return false
    for (const mine of host().values(room)) {
      const { version = 0 } = mine.event!
      if (version > former && version < life.shift && placeOf(mine) === placeOf(packet)) return true
    }
    return false
  }

  /**
   * Puts back what a room shows and the stream has lost.
   *
   * @param kept all values that the stream has of the room
   */
  async restore (room: string, kept: readonly Packet[]): Promise<Restored> {
    const { lives, plan, host } = this.#options
    const life = lives.current(plan.name)
    if (life === undefined) return { given: kept, isWhole: true }
    this.#note(life)
    const places = new Map(kept.map((packet) => [placeOf(packet), packet]))
    const lost: Lost[] = []
    for (const packet of host().values(room)) {
      const theirs = places.get(placeOf(packet))
      const known = this.#standsAt(packet, theirs, life)
      if (known === undefined) continue
      if (theirs !== undefined) places.delete(placeOf(packet))
      lost.push({ packet, known })
    }
    let isWhole = true
    await inBatches(lost, AT_ONCE, async (each) => {
      // A value that the server does not take keeps nothing else back.
      await this.#putBack(room, each, life).catch((error: unknown) => {
        if (isTooLarge(error)) this.#givenUp(room, each.packet)
        else isWhole = false
      })
    })
    return { given: kept.filter((packet) => places.get(placeOf(packet)) === packet), isWhole }
  }

  #givenUp (room: string, { event, bytes: { length } }: Packet): void {
    const held = this.#seldom.due('large')
    if (held === undefined) return
    this.#options.log.warn(
      { room, type: event!.type, size: length, more: held },
      'a latest value that NATS has lost is too large to be put back, so it is lost: who joins on another node does not get it; raise max_payload of the server'
    )
  }

  /** Returns the number of what a lost value replaces; `undefined` where it is not lost or something newer is there. */
  #standsAt (mine: Packet, theirs: Packet | undefined, life: Life): number | undefined {
    const { version } = mine.event!
    if (version === undefined || version >= life.shift) return undefined
    const its = this.#lives.find(({ shift }) => shift <= version)
    if (its === undefined) return undefined
    const number = version - its.shift
    // Up to here the numbers are those of the same values.
    const common = life.before.find(({ epoch }) => epoch === its.epoch)?.offset ?? 0
    // What the stream had and has no more has ended.
    if (theirs === undefined) return number > common ? 0 : undefined
    const { version: at = 0, former } = theirs.event!
    const other = at - life.shift
    const isOlder = other <= common ? other < number : former !== undefined && former < version
    return isOlder ? other : undefined
  }

  async #putBack (room: string, { packet, known }: Lost, { epoch, shift }: Life): Promise<void> {
    const { link, lives, plan, prefix, tag } = this.#options
    const { version = 0 } = packet.event!
    const place = `${tokenOf(room)}.${tokenOf(placeOf(packet))}`
    const subject = `${prefix}.latest.${place}`
    const origin = `${tag}=${(++this.#count).toString(36)}@${epoch}`
    const text = encodePayload(origin, publicationOf(packet), packet.event)
    let stands = known
    for (let tries = 0; tries < TRIES; tries++) {
      const msgID = messageIdOf(room, keyOf(placeOf(packet), epoch, String(version), String(stands)))
      try {
        await lives.use(plan, async ({ life }) => {
          if (life.epoch !== epoch) return
          if (link.isClustered) {
            const forwarded = `${prefix}.value.${place}`
            await removeValue(link, { subject, forwarded, text, known: stands, patience: link.timeout, msgID })
          } else await link.publish(subject, text, { expect: { lastSubjectSequence: stands }, msgID })
        }, 'change')
        return
      } catch (error) {
        if (!isConflict(error)) throw error
      }
      const found = await link.attempt(() => link.jsm.streams.getMessage(plan.name, { last_by_subj: subject }))
      if (found === null) return
      const former = this.#formerOf(room, Buffer.from(found.data).toString(), shift + found.seq)
      // What another node has put back may be older than what this node has.
      if (former === undefined || former >= version) return
      stands = found.seq
    }
  }

  /** The version that a value had which was put back; `undefined` for one that was set, or that a newer node wrote. */
  #formerOf (room: string, text: string, version: number): number | undefined {
    try {
      return decodePayload(room, text, { version }).event!.former
    } catch (error) {
      this.#options.unread.failed(error, 'latest', text.length)
      return undefined
    }
  }
}
