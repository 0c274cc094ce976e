import { setImmediate as turn } from 'node:timers/promises'
import { inspect } from 'node:util'
import { clusterBy } from '../../lib/adapters/cluster/adapter.js'
import type { Channel } from '../../lib/adapters/cluster/channels.js'
import { Host } from '../../lib/adapters/cluster/host.js'
import { FakeHost, reliable, said } from '../../lib/adapters/contract/host.js'
import type { Adapter } from '../../lib/adapters/adapter.js'
import type { Random } from '../helpers/random.js'
import { mutateValue } from './mutate.js'

/** What came of messages between workers and their primary that nobody of ours has written. */
export interface WorkersResult {
  readonly sent: Readonly<Record<'to the primary' | 'to a worker', number>>
  /** exceptions that nobody caught, and what was thrown at who sent it */
  readonly faults: readonly string[]
  /** what went wrong between the well-behaved workers, or does not work any more */
  readonly harmed: readonly string[]
  readonly heard: number
  /** messages that the attacked worker could not read, and counted */
  readonly undecodable: number
  /** nodes that the primary knows when the attackers have gone: the well-behaved ones */
  readonly nodes: number
}

const SETTINGS = { ...reliable, append: { size: 10, ttl: 60_000 } }
const HONEST = 'honest/1'
/** Messages kept of each direction, from which others are made. */
const KEPT = 500
const AT_ONCE = 30

type Message = Record<string, unknown>

/** A channel that keeps what passes. */
class Tapped implements Channel {
  readonly posted: Message[] = []
  readonly heard: Message[] = []
  readonly #channel: Channel
  hear: (message: unknown) => void = () => {}

  constructor (channel: Channel) { this.#channel = channel }

  post (message: unknown): void {
    keep(this.posted, message as Message)
    this.#channel.post(message)
  }

  listen (message: (message: unknown) => void, ended: () => void): void {
    this.hear = message
    this.#channel.listen((given) => {
      keep(this.heard, given as Message)
      message(given)
    }, ended)
  }

  close (): void { this.#channel.close() }
}

function keep (list: Message[], message: Message): void {
  list.push(structuredClone(message))
  if (list.length > KEPT) list.splice(1, 1)
}

/** What a channel between threads carries, and JSON does not. */
function exotic (random: Random): unknown {
  const cycle: unknown[] = []
  cycle.push(cycle)
  return random.pick([1n, Number.NaN, Infinity, new Map([[1, 2]]), new Date(NaN), new Uint8Array(3), cycle, undefined])
}

/** A copy with changed items, or changed anywhere. */
function mutated (random: Random, message: Message): unknown {
  const { items } = message as { items: unknown[] }
  if (items.length === 0 || random.chance(0.1)) return mutateValue(random, message)
  const changed = items.map((item) => {
    if (random.chance(0.1) && Array.isArray(item)) {
      const at = random.int(item.length)
      return item.map((each: unknown, index) => index === at ? exotic(random) : each)
    }
    return random.chance(0.7) ? mutateValue(random, item) : item
  })
  return { ...message, items: changed }
}

/**
 * Whether it names what the well-behaved have: who can write well-formed messages can forge theirs. JSON could not be
 * made of everything that a channel carries.
 */
function isForged (value: unknown): boolean {
  return inspect(value, { depth: null, maxArrayLength: null, maxStringLength: null }).includes('honest')
}

/** Uses all that a worker asks of its primary, so that there is something to change. */
async function use (adapter: Adapter, random: Random): Promise<void> {
  const room = `attack/${random.int(5)}`
  const entry = { userId: `u-${random.int(20)}`, connection: `c-${random.int(20)}`, data: { name: 'x' } }
  const key = `key-${random.int(50)}`
  const part = { before: '{"id":"a","text":"', inside: 'token', isList: false, from: 0, to: 5, end: undefined }
  const step = {
    type: 'answer', key, timestamp: 1, writer: key, number: 0, lease: 60_000, part: { ...part, before: '"', end: undefined }
  }
  const calls: Array<() => unknown> = [
    () => adapter.subscribe(room, SETTINGS),
    () => adapter.unsubscribe(room),
    () => adapter.publish(room, said('hi', { idempotencyKey: key, owner: 'u', except: { user: 'u-1' } }), SETTINGS),
    () => adapter.publish(room, said('red', { type: 'score', delivery: 'latest', key }), SETTINGS),
    () => adapter.publish(room, said('', { type: 'score', delivery: 'latest', key, removes: {} }), SETTINGS),
    () => adapter.publish(room, said('?', { delivery: 'volatile', ack: 'a.1' }), SETTINGS),
    () => adapter.history!(room, { last: 5, limit: 10 }, SETTINGS),
    () => adapter.latest!(room, SETTINGS),
    () => adapter.clear!(room, SETTINGS),
    () => adapter.presence!.join(room, entry, 60_000),
    () => adapter.presence!.leave(room, entry, random.int(2) * 100),
    () => adapter.presence!.update!(room, entry),
    () => adapter.presence!.isPresent!(room, entry.userId),
    () => adapter.presence!.snapshot(room, 100),
    () => adapter.leases!.acquire(key, entry.connection, 3, 60_000),
    () => adapter.leases!.renew([{ key, holder: entry.connection }], 1_000),
    () => adapter.leases!.release(key, entry.connection),
    () => adapter.leases!.count(key),
    () => adapter.claims!.claim(key, 'hash', 1_000, 'u', 'h'),
    () => adapter.claims!.settle(key, 'hash', '{}', 60_000, 'u', 'h'),
    () => adapter.claims!.put!(key, 'value', 1_000),
    () => adapter.claims!.take!(key),
    () => adapter.denials!.deny(`user:${key}`, Date.now() + 60_000),
    () => adapter.denials!.isDenied([`user:${key}`]),
    () => adapter.texts!.write(room, step, SETTINGS),
    () => adapter.texts!.read(room, SETTINGS),
    () => adapter.control!.send({ type: 'revoke', user: key }),
    () => adapter.secret!('secret')
  ]
  await random.pick(calls)()
}

/**
 * Sends changed copies of what a worker says to its primary, and of what the primary says to a worker, while two
 * well-behaved workers talk beside. None of it may end a process, and the two must not notice.
 */
export async function fuzzWorkers (random: Random, isOver: () => boolean): Promise<WorkersResult> {
  const host = new Host()
  const faults: string[] = []
  const harmed: string[] = []
  const sent = { 'to the primary': 0, 'to a worker': 0 }
  const onFault = (error: unknown): void => {
    faults.push(error instanceof Error ? error.stack ?? error.message : String(error))
  }
  process.on('uncaughtException', onFault)
  process.on('unhandledRejection', onFault)
  const channels = Array.from({ length: 4 }, () => new Tapped(host.local()))
  const [a, b, user, victim] = channels.map((channel) => clusterBy(channel)) as [Adapter, Adapter, Adapter, Adapter]
  const hosts = ['a', 'b', 'user', 'victim'].map((id) => new FakeHost(id))
  const adapters = [a, b, user, victim]
  for (const [index, adapter] of adapters.entries()) await adapter.start(hosts[index]!)
  await b.subscribe(HONEST, SETTINGS)
  for (let number = 0; number < 5; number++) await victim.subscribe(`attack/${number}`, SETTINGS)
  const raw = host.local()
  raw.listen(() => {}, () => {})
  const attempt = (send: () => void): void => {
    try {
      send()
    } catch (error) {
      onFault(error)
    }
  }
  let published = 0
  while (!isOver()) {
    // What the attacked answers may be anything: it is refused, or true.
    await Promise.allSettled(Array.from({ length: 3 }, async () => { await use(user, random) }))
    const hello = channels[2]!.posted[0]!
    attempt(() => { raw.post({ ...hello, tag: 'x' }) })
    for (let count = 0; count < AT_ONCE; count++) {
      const wrong = mutated(random, { ...random.pick(channels[2]!.posted), tag: 'x' })
      if (isForged(wrong)) continue
      attempt(() => { raw.post(wrong) })
      sent['to the primary']++
    }
    for (const seeds of [channels[3]!.heard, channels[2]!.heard]) {
      const { tag } = channels[3]!.posted[0]!
      for (let count = 0; count < AT_ONCE; count++) {
        const wrong = mutated(random, { ...random.pick(seeds), tag })
        attempt(() => { channels[3]!.hear(wrong) })
        sent['to a worker']++
      }
    }
    try {
      const { recipients } = await a.publish(HONEST, said(String(++published)), SETTINGS)
      if (recipients !== 0) harmed.push(`${recipients} recipients where there is no member`)
    } catch (error) {
      harmed.push(`could not publish ${published}: ${String(error)}`)
    }
    await turn()
  }
  const heard = hosts[1]!.texts(HONEST)
  const wrong = heard.findIndex((text, index) => text !== String(index + 1))
  if (wrong !== -1 || heard.length !== published) harmed.push(`heard ${heard.length} of ${published}, wrong from ${wrong} on`)
  if (hosts[1]!.gaps.length > 0) harmed.push('was told of a gap')
  // The one that was lied to does its work.
  try {
    await victim.subscribe('after', SETTINGS)
    await a.publish('after', said('still there'), SETTINGS)
    await hosts[3]!.heard('after', 1, 5_000)
  } catch (error) {
    harmed.push(`the worker that was lied to: ${String(error)}`)
  }
  raw.close()
  await Promise.all([user.close(), victim.close()])
  await turn()
  const result = {
    sent,
    faults,
    harmed,
    heard: heard.length,
    undecodable: Number(victim.stats!().undecodable),
    nodes: host.stats().realtime!.nodes!
  }
  await Promise.all([a.close(), b.close()])
  await host.close()
  process.off('uncaughtException', onFault)
  process.off('unhandledRejection', onFault)
  return result
}
