import type { Control } from '../adapters/adapter.js'
import type { Peer } from '../admission/peer.js'
import type { BroadcastAcks } from '../dispatch/broadcast-acks.js'
import type { Roster } from '../dispatch/roster.js'
import { Refusal } from '../errors/refusal.js'
import { callOptions, checkTime } from '../options/call-values.js'
import { DEFAULTS } from '../options/defaults.js'
import type { ClientAnswer } from '../protocol/frames.js'
import { encodeEvent, type Packet } from '../protocol/packet.js'
import { roomOfUser } from '../rooms/built-in.js'
import type { EventRule } from '../rooms/declaration.js'
import type { Hub } from '../rooms/hub.js'
import { nameOf } from '../rooms/room-name.js'
import { inTurns } from '../structures/slices.js'
import { within } from '../structures/within.js'
import { checkAsked } from './call-options.js'
import { AT_ONCE, peersOf, type Meant, type Places } from './targets.js'

export interface RequestsOptions extends Places {
  readonly hub: Hub
  readonly acks: BroadcastAcks
  readonly roster: Roster
  readonly control: Control | undefined
}

/** A question to clients, as it travels. */
export interface Question extends Pick<Meant, 'user' | 'connection'> {
  /** The id under which its answers are awaited. */
  readonly ack: string
  /** The room of the event; absent for the room of the connection's own user. */
  readonly room?: string
  readonly event: string
  /** The data as JSON text. */
  readonly data: string
  readonly timestamp: number
}

/** Questions whose ids are remembered for a connection that polls. */
const MAX_ASKED = 32

type Reply = NonNullable<EventRule['reply']>

/** Asks clients by an event that asks for an answer, on whichever node they are. */
export class Requests {
  readonly #options: RequestsOptions
  /** What each packet of a question asks, for as long as a peer that polls is owed it. */
  readonly #kept = new WeakMap<Packet, Question>()
  /** Ids of what peers that poll were asked last, since another node may ask the same once more for each of them. */
  readonly #asked = new WeakMap<Peer, string[]>()

  constructor (options: RequestsOptions) {
    this.#options = options
  }

  /**
   * @returns the first answer that fits the contract
   * @throws Refusal `not_joined`, `timeout`, `invalid_message`, `unavailable`, or the client's own code
   */
  async ask (target: unknown, event: string, data: unknown, options: unknown): Promise<unknown> {
    const { acks, connections, hub, roster, control } = this.#options
    const meant = checkAsked(target)
    const asked = callOptions(options, 'request', ['timeout']).timeout
    const timeout = asked === undefined ? DEFAULTS.ackTimeout : checkTime(asked, 'timeout of request')
    const { room: given } = target as { room?: unknown }
    const room = given === undefined ? meant.user === undefined ? undefined : roomOfUser(meant.user) : nameOf(given)
    // All rooms of users are of one definition, so any of them tells its events.
    const { declaration } = hub.locate(room ?? roomOfUser('-'))
    const { text, reply } = hub.publications.question(declaration, event, data)
    const question: Question = {
      ...meant,
      ack: acks.newId(timeout),
      ...(room === undefined ? {} : { room }),
      event,
      data: text,
      timestamp: Date.now()
    }
    // A node that has just come, or has its broker again, does not know yet which others to ask.
    if (connections.get(meant.connection ?? '') === undefined) await roster.settled()
    const answers: Array<Promise<void>> = []
    let answer: { readonly data: unknown } | undefined
    let refused: unknown
    let found = (): void => {}
    const good = new Promise<void>((resolve) => { found = resolve })
    const until = performance.now() + timeout
    const late = (): Refusal => new Refusal('timeout', { message: 'an answer could not be checked in time' })
    const waiting = acks.wait(question.ack, timeout, (said) => {
      answers.push(read(reply, said).then((value) => {
        answer ??= { data: value }
        found()
        acks.cancel(question.ack)
      }, (error: unknown) => { refused ??= error }))
    })
    const isHere = await this.give(question) > 0 && meant.connection !== undefined
    let others = control === undefined || isHere ? [] : roster.others
    let failed: unknown
    if (others.length > 0) await control!.send({ type: 'request', ...question }).catch((error: unknown) => { failed = error })
    // One that has left meanwhile has nobody any more.
    if (others.length > 0) others = failed === undefined ? roster.others.filter((node) => others.includes(node)) : []
    acks.seal(question.ack, others)
    const { missing, unknown } = await waiting
    // A check of the application's own may never settle.
    await within(Math.max(0, until - performance.now()), Promise.race([good, Promise.all(answers)]), late)
      .catch((error: unknown) => { refused ??= error })
    if (answer !== undefined) return answer.data
    if (refused !== undefined) throw refused
    if (missing.length > 0 || unknown > 0) throw new Refusal('timeout', { message: 'no client has answered in time' })
    if (failed === undefined && !isHere && !roster.isKnown) throw new Refusal('unavailable')
    throw failed ?? new Refusal('not_joined', { message: 'no connection of the target is in the room' })
  }

  /** Gives a question to those of this node who are meant, some in each turn of the loop. @returns their number */
  async give (question: Question): Promise<number> {
    const { ack, room, event, data, timestamp, ...target } = question
    const head = { type: event, delivery: 'reliable', timestamp, ack, isQuestion: true } as const
    const audience = this.#options.acks.offered({ ...head, room: room ?? '' })
    // It was answered while it travelled with a connection.
    if (audience === undefined) return 0
    let packet: Packet | undefined
    let given = 0
    await inTurns(peersOf(this.#options, target), AT_ONCE, (peer) => {
      // All who are meant are in one room, for a target is one connection or one user.
      const name = room ?? roomOfUser(peer.userId)
      if (peer.rooms.get(name) === undefined) return
      packet ??= encodeEvent({ ...head, room: name }, data)
      if (this.#asked.get(peer)?.includes(ack) === true || !peer.hand(packet)) return
      if (peer.transport === 'polling') this.#keep(peer, packet, question)
      audience.add(peer)
      given++
    })
    audience.end()
    return given
  }

  /**
   * Sends on what no poll of a connection has taken along: the connection polls another node now, which gives it the
   * questions and tells whoever asks that it is there.
   */
  async moved (peer: Peer): Promise<void> {
    const { control } = this.#options
    await Promise.all(peer.owed.map(async (packet) => {
      const kept = this.#kept.get(packet)
      if (kept === undefined) return
      const { user, ...question } = kept
      await control?.send({ type: 'request', ...question, connection: peer.id })
    }))
  }

  #keep (peer: Peer, packet: Packet, question: Question): void {
    this.#kept.set(packet, question)
    const asked = this.#asked.get(peer) ?? []
    if (asked.push(question.ack) > MAX_ASKED) asked.shift()
    this.#asked.set(peer, asked)
  }
}

/** @throws Refusal for an answer that refuses, or that does not fit */
async function read (reply: Reply, { data, error }: ClientAnswer): Promise<unknown> {
  if (error !== undefined) {
    throw new Refusal('invalid_message', { message: error.message, as: { code: error.code, statusCode: 400 } })
  }
  const parsed = reply.parse === undefined
    ? reply.check(data) ? { value: data } : { violations: reply.violations(data) }
    : await reply.parse(data)
  const { violations } = parsed
  if (violations === undefined) return parsed.value
  throw new Refusal('invalid_message', {
    message: data === undefined
      ? 'the client has answered without data: it has no listener that returns any, or is of an earlier version'
      : 'the answer of the client does not fit the reply of the event',
    details: violations
  })
}
