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
import { Pauses } from '../../structures/pauses.js'
import { after } from '../../structures/timers.js'
import { within } from '../broker/patience.js'
import { sharedBy, type Former } from '../broker/tail.js'
import type { Unread } from '../broker/unread.js'
import { originOf, splitOrigin } from '../broker/payload.js'

/** A server by which nodes have opened a stream. Its id is another one each time that it starts. */
interface Seen {
  readonly id: string
  /** When the first node did so, by the broker's clock. */
  readonly at: number
}

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
  /** Servers by which nodes have opened it. */
  readonly servers: readonly Seen[]
}

export interface NumberedPlan extends StreamPlan {
  /** Subject for a message that no subscriber reads. */
  readonly probe: string
}

/** What this node knew of a stream when its link broke: what comes with the next link says nothing of that. */
interface Proof {
  /** The newest events that it remembered. */
  readonly newest: ReadonlyArray<{ readonly sequence: number, readonly origin: string }>
  /** The highest number that it was told. */
  readonly told: Told
}

/** A number that the server has told, and when the message was accepted that has it, by the clock of that server. */
interface Told { readonly sequence: number, readonly time: number }

interface Known {
  readonly plan: NumberedPlan
  readonly life: Life
  readonly markers: Markers
  /** A number under which two different events were seen. */
  brokenAt?: number | undefined
  /** The highest number that the server has told. */
  told: Told
  /** When it was asked last whether another node has found a new life, by the broker's clock. */
  checkedAt: number
  /** Id of the server by which this node has waited for what others know. */
  settledBy?: string | undefined
  /** Present until the stream has been compared by the next link. */
  proof?: Proof | undefined
}

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
/** Servers that are kept with a life: those of a cluster, and some that were started again. */
const MAX_SERVERS = 32
/**
 * Milliseconds from the first use of a server within which every node compares the stream with what it has seen: until
 * then no position of before is honoured.
 */
const SETTLED = 1_500
/** Milliseconds until streams are compared again where that failed although the link stands. */
const AGAIN = 250
/** Longest time in milliseconds that comparing, which has `SETTLED`, waits for the clock to be measured. */
const MEASURED = 500

/**
 * Tells the lives of streams apart. The server keeps nothing that a restore would not take back with the rest. So each
 * node remembers what it has seen and compares it after each reconnect, and a stream that went back gets a new epoch,
 * which all nodes read.
 */
export class NatsLives {
  readonly #options: LivesOptions
  readonly #known = new Map<string, Known>()
  readonly #opened = new Opened<Found>()
  /** When the link broke, by the broker's clock, and by this machine's monotonic one. */
  #lost = { at: Number.NEGATIVE_INFINITY, uptime: 0 }
  /** Settles when the clock has been measured by the link that stands, or could not be. */
  #measured: Promise<void> = Promise.resolve()
  readonly #pauses = new Pauses()
  /** How often the link was lost. */
  #losses = 0
  #timer: NodeJS.Timeout | undefined

  constructor (options: LivesOptions) {
    this.#options = options
  }

  /** Called when the link breaks: what was kept by then is known to all members that are still here. */
  lost (): void {
    this.#lost = { at: this.#options.clock.now(), uptime: performance.now() }
    this.#losses++
    clearTimeout(this.#timer)
    for (const known of this.#known.values()) {
      const { markers, told } = known
      known.proof ??= { newest: markers.upTo(markers.top).slice(0, ASKED), told }
    }
  }

  /**
   * Called when the link is back. It may lead to another server, and what is noted of it by the clock of the last one
   * would mean nothing to other nodes, so the clock is measured before anything is compared.
   */
  up (): void {
    this.#measured = within(this.#options.clock.measure(), MEASURED).catch(() => {})
    void this.#compareAll()
  }

  /**
   * Compares each stream that this node has seen, although none of its rooms may need that: no other node may know what
   * this one has seen. Runs again soon where it fails. Never rejects.
   */
  async #compareAll (): Promise<void> {
    const losses = this.#losses
    const all = [...this.#known.values()].map(({ plan }) => this.open(plan))
    const isDone = (await Promise.allSettled(all)).every(({ status }) => status === 'fulfilled')
    if (isDone || losses !== this.#losses || !this.#options.link.isUp) return
    clearTimeout(this.#timer)
    this.#timer = after(() => { void this.#compareAll() }, AGAIN).unref()
  }

  close (): void {
    clearTimeout(this.#timer)
    this.#pauses.end()
  }

  /**
   * Resolves when it is known whether a position of an epoch may be honoured. A server that was started may have older
   * data than before, of which only another node may know.
   *
   * @param isMember whether it is that of members who are told whatever is found to be lost later
   * @throws Refusal `unavailable`, also when the adapter is closed meanwhile
   */
  async settle (plan: NumberedPlan, epoch: string, isMember: boolean): Promise<void> {
    const { link, clock } = this.#options
    let { life } = await this.open(plan)
    for (let known: string | undefined; known !== life.epoch;) {
      known = life.epoch
      const { serverId } = link
      const at = life.servers.find(({ id }) => id === serverId)?.at ?? Number.NEGATIVE_INFINITY
      const { checkedAt, settledBy } = this.#known.get(plan.name)!
      const isSettled = settledBy === serverId
      // What was numbered since the server was started cannot be missing for that.
      const isOwn = epoch === known && (isMember || life.shift >= at * RATE)
      if (isOwn || (epoch === known && (isSettled || checkedAt >= at + SETTLED))) return
      const isHonoured = sharedBy({ epoch, offset: 0 }, { ...life, top: 0 })?.isWhole === true
      // A node whose clock could not be measured may have noted any time.
      const wait = Math.min(SETTLED, Math.max(0, at + SETTLED - clock.now()))
      if (isHonoured && !isSettled) await this.#pause(wait)
      life = (await this.verify(plan)).life
      if (isHonoured && life.epoch === known) this.#known.get(plan.name)!.settledBy = serverId
    }
  }

  async #pause (wait: number): Promise<void> {
    await this.#pauses.wait(wait)
    if (this.#pauses.isOver) throw away()
  }

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

  /**
   * Makes a request to a stream. A missing stream is created again, and the request repeated.
   *
   * @param how `change` where it changes something, whose outcome is unknown when its answer is missing
   */
  async use<T> (
    plan: NumberedPlan,
    ask: (opened: Found) => Promise<T>,
    how: 'attempt' | 'change' = 'attempt'
  ): Promise<T> {
    for (let isAgain = false; ; isAgain = true) {
      const opened = await this.open(plan)
      try {
        return await this.#options.link[how](() => ask(opened))
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
      if (String(info.created) === life.created && info.state.last_seq >= seen) {
        const known = this.#known.get(plan.name)
        if (known?.life.epoch === life.epoch) known.told = newer(known.told, info)
        return found
      }
      // A server that leads no more answers like one that has older data.
      if (isAgain) throw away()
      this.doubt(plan.name)
    }
  }

  /** Does the same, and checks whether another node has found a new life. */
  async verify (plan: NumberedPlan): Promise<Found> {
    const { life, info } = await this.look(plan)
    const now = this.#options.clock.now()
    const record = this.#decode(await this.#options.state.read(keyOfLife(plan.name)))
    if (record?.epoch === life.epoch) {
      const known = this.#known.get(plan.name)
      if (known?.life.epoch === life.epoch) known.checkedAt = Math.max(known.checkedAt, now)
      return { life, info }
    }
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
    const losses = this.#losses
    await this.#measured
    const shared = known === undefined ? undefined : await this.#compare(plan, known, info.state.last_seq, seen)
    const checkedAt = clock.now()
    const life = await state.change<Life>(keyOfLife(name), (text) => {
      const record = this.#decode(text)
      const former = remembered?.life.created === created ? undefined : remembered?.life ?? record
      const now = clock.now()
      const last = info.state.last_seq
      const opened = this.#lifeOf(record?.created === created ? record : undefined, known?.life, former, shared, {
        created,
        run,
        last,
        now
      })
      const isBegun = opened.epoch !== record?.epoch && opened.epoch !== known?.life.epoch
      // The clock of the server may be behind that of the one by which the life was begun.
      const at = isBegun ? now : Math.max(now, Math.floor(opened.shift / RATE) + 1)
      const found = above(seenBy({ id: link.serverId, at }, opened, record), remembered, last)
      return found === record ? { result: found } : { value: JSON.stringify(found), result: found }
    })
    const told = toldBy(info)
    if (known?.life.epoch === life.epoch) {
      const proof = losses === this.#losses ? undefined : known.proof
      const { markers, settledBy } = known
      this.#known.set(name, { plan, life, markers, told: newer(known.told, info), checkedAt, settledBy, proof })
    } else {
      if (remembered !== undefined) {
        log.warn(
          { stream: name, epoch: life.epoch, before: life.before },
          'a NATS stream was made anew or has older data than before: members are told of the gap'
        )
      }
      this.#known.set(name, { plan, life, markers: new Markers(told.sequence), told, checkedAt })
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
      const { servers } = former
      return { created, run, epoch: newEpoch(), before: before.slice(0, MAX_BEFORE), shift: now * RATE, servers }
    }
    if (known === undefined) {
      // Everything in a stream that was created again is new to members that knew the last one.
      if (record === undefined) {
        return former === undefined
          ? { created, run, epoch: newEpoch(), before: [], shift: now * RATE, servers: [] }
          : next(former, 0, true)
      }
      // The server was restarted, with unknown data: this node cannot tell whether the last events before that are
      // still there.
      return record.run === run ? record : next(record, last, false)
    }
    // The record is lost, or older than what this node remembers: then the record went back as well.
    const isOlder = record === undefined || known.before.some(({ epoch }) => epoch === record.epoch)
    // Another node has begun a life. Where it could not see what this node misses, those whom it has resumed are told
    // as well.
    if (!isOlder && record.epoch !== known.epoch) {
      return isBlind(record, known, shared) ? next(record, last, true) : record
    }
    // It has a value only where something that this node remembers is missing.
    if (shared !== undefined) return next(known, shared, true)
    if (isOlder) return { ...known, run }
    return record.run === run ? record : { ...record, run }
  }

  /** @returns the last number in common; `undefined` when the stream is the remembered one and has just continued */
  async #compare (
    plan: NumberedPlan,
    { markers, brokenAt, proof }: Known,
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
      const newest = proof?.newest ?? markers.upTo(seen).slice(0, ASKED)
      const found = await Promise.all(newest.map(async ({ sequence, origin }) => {
        const message = await this.#message(plan, sequence)
        return message === undefined || message.origin === origin
      }))
      if (found.every(Boolean) && !await this.#isAnew(plan, proof)) return undefined
      // What came by this link is there, whatever is missing before it.
      if (proof !== undefined) end = Math.min(end, Math.max(proof.told.sequence, proof.newest[0]?.sequence ?? 0))
    }
    return Math.max(await this.#oldUpTo(plan, end), await this.#sameUpTo(plan, markers, end))
  }

  /**
   * Whether a number that this node was told by its last link, without the event, is that of another event by now:
   * members may stand there, and what they have not seen has lower numbers.
   */
  async #isAnew (plan: NumberedPlan, proof: Proof | undefined): Promise<boolean> {
    if (proof === undefined || proof.told.sequence <= (proof.newest[0]?.sequence ?? 0)) return false
    const found = await this.#message(plan, proof.told.sequence)
    return found !== undefined && found.time !== proof.told.time
  }

  /**
   * The last number, of the newest few, that was given before the link broke: a restore comes later, and removes events
   * but adds none.
   */
  async #oldUpTo (plan: NumberedPlan, end: number): Promise<number> {
    const { at, uptime } = this.#lost
    // The server that accepted an event may be the one of before or the one of now, whose clock may be behind. An event
    // counts as older where it is by both.
    const lostAt = Math.min(at, this.#options.clock.now() - (performance.now() - uptime))
    for (let sequence = end; sequence > Math.max(0, end - LOOKED_BACK); sequence--) {
      const found = await this.#message(plan, sequence)
      if (found !== undefined && found.time < lostAt) return sequence
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

/**
 * Whether a life that another node has begun honours positions that it should not, by what this node knows.
 *
 * @param shared last number that the stream has in common with the life that this node knows; `undefined` when nothing
 *   of that is missing
 */
function isBlind (record: Life, known: Life, shared: number | undefined): boolean {
  const own = { ...known, top: shared ?? Number.POSITIVE_INFINITY }
  return [known.epoch, ...known.before.map(({ epoch }) => epoch)].some((epoch) => {
    const theirs = sharedBy({ epoch, offset: 0 }, { ...record, top: Number.POSITIVE_INFINITY })
    if (theirs?.isWhole !== true) return false
    if (shared !== undefined) return true
    const mine = sharedBy({ epoch, offset: 0 }, own)!
    return !mine.isWhole || mine.offset < theirs.offset
  })
}

/** Notes by which server a life was opened. */
function seenBy (server: Seen, life: Life, record: Life | undefined): Life {
  const all = new Map<string, Seen>()
  for (const each of [...record?.servers ?? [], ...life.servers, server]) if (!all.has(each.id)) all.set(each.id, each)
  if (all.size === life.servers.length) return life
  const used = all.get(server.id)!
  const others = [...all.values()].filter((each) => each !== used).sort((a, b) => b.at - a.at)
  return { ...life, servers: [used, ...others].slice(0, MAX_SERVERS) }
}

/**
 * Returns a life whose numbers are above all that this node remembers of another life: the clock of a server that took
 * the place of another may be behind, and what is newer would count as older.
 */
function above (life: Life, remembered: Known | undefined, last: number): Life {
  if (remembered === undefined || remembered.life.epoch === life.epoch) return life
  const least = remembered.life.shift + Math.max(remembered.markers.top, remembered.told.sequence) + 1
  if (life.shift >= least) return life
  const before = [{ epoch: life.epoch, offset: last }, ...life.before].slice(0, MAX_BEFORE)
  return { ...life, epoch: newEpoch(), before, shift: least }
}

function toldBy ({ state }: StreamInfo): Told { return { sequence: state.last_seq, time: Date.parse(state.last_ts) } }

function newer (told: Told, info: StreamInfo): Told {
  return info.state.last_seq > told.sequence ? toldBy(info) : told
}

function keyOfLife (name: string): string { return `life.${name}` }

function decodeLife (text: string): Life | undefined {
  const value = parseJson(text)
  if (!isFields(value)) return undefined
  const { created, epoch, before, shift, run, servers } = value
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
  // Earlier versions do not write them.
  const seen = (Array.isArray(servers) ? servers as unknown[] : []).flatMap((each): Seen[] => {
    return isFields(each) && typeof each.id === 'string' && isOffset(each.at) ? [{ id: each.id, at: each.at }] : []
  })
  return { created, epoch, before: formers, shift, run, servers: seen }
}
