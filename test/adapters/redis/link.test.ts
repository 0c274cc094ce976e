import { EventEmitter } from 'node:events'
import type { Cluster, ClusterOptions } from 'ioredis'
import t, { type Test } from 'tap'
import { until } from '../../../lib/adapters/contract/until.js'
import type { Client } from '../../../lib/adapters/redis/clients.js'
import { RedisLink } from '../../../lib/adapters/redis/link.js'
import type { Unreachable } from '../../../lib/adapters/redis/unreachable.js'
import { PUT } from '../../../lib/adapters/redis/scripts/stores.js'
import { sizeOf } from '../../helpers/private-fields.js'

const HOST = '127.0.0.1'
const SHARD = `${HOST}:1`
const KEY = '{a}'
const ARGS = ['value', 1_000]

/** A cluster of one shard, without any server: what it answers is up to the test. */
class FakeCluster extends EventEmitter {
  readonly isCluster = true
  status = 'wait'
  /** Connection to the shard: none before the first command, as in a real one. */
  connection = 'wait'
  /** Answers to come: the connection breaks. */
  breaks = 0
  /** Answers to come that decline, and with what. */
  declines = 0
  declined = 'LOADING Redis is loading the dataset in memory'
  /** Milliseconds that each answer takes. */
  slow = 0
  asked: string[] = []
  /** Whether connections to the shard never answer, and how often they did not. */
  isSilent = false
  silent = 0
  slots = Array.from({ length: 16_384 }, () => [SHARD])
  /** Where servers are reached, by the addresses that they name themselves. */
  options: { natMap?: Record<string, { host: string, port: number }> } = {}

  /** How often it has looked which shard serves which slot. */
  looked = 0
  settings: ClusterOptions = {}
  refreshSlotsCache (): void { this.looked++ }

  async connect (): Promise<void> {
    this.status = 'ready'
    this.emit('ready')
  }

  disconnect (): void {
    this.status = 'close'
    this.emit('close')
  }

  async #answer<T> (name: string, answer: T): Promise<T> {
    this.asked.push(name)
    if (this.slow > 0) await new Promise((resolve) => { setTimeout(resolve, this.slow) })
    else await new Promise(setImmediate)
    if (this.declines > 0 && name === 'script') {
      this.declines--
      throw Object.assign(new Error(this.declined), { name: 'ReplyError', command: { name: 'evalsha', args: ARGS } })
    }
    if (this.breaks > 0) {
      this.breaks--
      throw new Error('Connection is closed.')
    }
    return answer
  }

  get #time (): [string, string] { return [String(Math.floor(Date.now() / 1_000)), '0'] }

  async call (command: string): Promise<unknown> {
    return await this.#answer(command, command === 'TIME' ? this.#time : 'redis_version:7.0.15\r\nrun_id:x')
  }

  async evalsha (): Promise<unknown> { return await this.#answer('script', 1) }
  async eval (): Promise<unknown> { return await this.#answer('TIME', this.#time) }
  async ssubscribe (_channel: string): Promise<unknown> { return 1 }
  /** Whether the client has no connection that brings the messages of its shard, and makes none. */
  hasGivenUp = false
  async sunsubscribe (): Promise<unknown> {
    if (this.hasGivenUp) throw Object.assign(new Error('No sharded subscriber for slot: 1'), { name: 'AbortError' })
    return 1
  }

  nodes (): ReturnType<NonNullable<Client['nodes']>> {
    const call = async (): Promise<unknown> => {
      if (!this.isSilent) return await this.#answer('TIME', this.#time)
      this.silent++
      return await new Promise(() => undefined)
    }
    const [on, disconnect] = [() => undefined, () => undefined]
    const status = (): string => this.connection
    return [{ options: { host: HOST, port: 1 }, get status () { return status() }, call, on, disconnect }]
  }

  /** A connection to the shard comes to stand; it breaks where answers are to break. */
  connects (): void {
    const { options, status, call } = this.nodes()[0]!
    const shard = Object.assign(new EventEmitter(), { options, status, call })
    this.emit('+node', shard)
    shard.emit('ready')
  }
}

/**
 * @param slow milliseconds that each answer takes
 * @param breaks answers of the start at which the connection breaks
 */
async function open (
  t: Test, slow = 0, breaks = 0
): Promise<{
  link: RedisLink, commands: FakeCluster, made: readonly FakeCluster[], logged: ReadonlyArray<{ err: unknown }>
}> {
  const made: FakeCluster[] = []
  const logged: Array<{ err: unknown }> = []
  const duplicate = (_nodes: readonly [], settings: ClusterOptions): FakeCluster => {
    const cluster = new FakeCluster()
    cluster.settings = settings
    cluster.slow = slow
    cluster.breaks = breaks
    made.push(cluster)
    return cluster
  }
  const link = new RedisLink({
    url: undefined,
    client: { isCluster: true, duplicate } as unknown as Cluster,
    cluster: undefined,
    sentinels: undefined,
    settings: {},
    timeout: 1_000,
    log: { warn: (line: object) => { logged.push(line as { err: unknown }) } },
    onMessage: () => undefined,
    onUp: () => undefined,
    onDown: () => undefined,
    onReplaced: () => undefined
  })
  await link.open()
  if (slow === 0) link.started()
  t.teardown(() => { link.close() })
  const commands = made[0]!
  commands.asked = []
  return { link, commands, made, logged }
}

const put = async (link: RedisLink): Promise<unknown> => await link.insist('change', KEY, () => link.script(PUT, [KEY], ARGS))

t.test('a shard whose time cannot be read because its connection breaks is asked again, as for any command', async (t) => {
  const { link, commands } = await open(t)
  commands.breaks = 3
  t.equal(await put(link), 1)
  t.same(commands.asked, ['TIME', 'TIME', 'TIME', 'TIME', 'script'])
  t.equal(await put(link), 1)
  t.same(commands.asked.slice(5), ['script'], 'its time is known now')
})

t.test('of many commands that need the time of a shard one asks for it', async (t) => {
  const { link, commands } = await open(t)
  t.same(await Promise.all([put(link), put(link), put(link)]), [1, 1, 1])
  t.same(commands.asked, ['TIME', 'script', 'script', 'script'])
})

t.test('the time of a shard is asked for by its key, so that a connection that is gone is made anew', async (t) => {
  const { link, commands } = await open(t)
  commands.nodes = () => []
  t.equal(await put(link), 1)
})

t.test('a command that was not sent for want of a time is not in doubt', async (t) => {
  const { link, commands } = await open(t)
  commands.breaks = 1
  const error = await link.script(PUT, [KEY], ARGS).catch((refusal: Unreachable) => refusal)
  t.match(error, { isUncertain: false, isBroken: true, outcome: undefined })
})

t.test('a cluster whose connection breaks while it is asked what it is stays connected', async (t) => {
  const { link } = await open(t, 0, 2)
  t.equal(link.canSend, true)
})

t.test('a cluster that is connected again takes commands at once, and is not asked again what it is', async (t) => {
  const { link, commands } = await open(t)
  await put(link)
  commands.disconnect()
  t.equal(link.canSend, false)
  await commands.connect()
  t.equal(link.canSend, true)
  t.equal(await put(link), 1)
  t.same(commands.asked.slice(2), ['TIME', 'script'], 'its time is asked for when it is needed')
})

t.test('a shard that was away is waited for again once it answers a heartbeat', async (t) => {
  const { link, commands } = await open(t)
  await put(link)
  commands.breaks = Infinity
  await t.rejects(put(link), { code: 'unavailable' })
  commands.breaks = 0
  commands.connection = 'ready'
  commands.asked = []
  await until('a heartbeat', () => commands.asked.includes('TIME'))
  await new Promise(setImmediate)
  commands.breaks = 2
  t.equal(await put(link), 1)
})

for (const declined of [
  'LOADING Redis is loading the dataset in memory',
  'OOM command not allowed when used memory > \'maxmemory\'.',
  'READONLY You can\'t write against a read only replica.',
  'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk.',
  'CLUSTERDOWN The cluster is down',
  'TRYAGAIN Multiple keys request during rehashing of slot',
  'NOREPLICAS Not enough good replicas to write.',
  'MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to \'no\'.',
  'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.',
  'NOAUTH Authentication required.'
]) {
  t.test(`a server that answers ${declined.split(' ')[0]!} is there, and is asked again`, async (t) => {
    const { link, commands } = await open(t)
    commands.declined = declined
    commands.declines = 3
    t.equal(await put(link), 1)
    const error = await link.script(PUT, [KEY], ARGS).catch((refusal: unknown) => refusal)
    t.equal(error, 1)
    commands.declines = 1
    t.match(await link.script(PUT, [KEY], ARGS).catch((refusal: unknown) => refusal), {
      isDeclined: true, isUncertain: false, isBroken: false, code: 'unavailable'
    })
  })
}

t.test('what a command carries that the server refuses, or the client names beside an error, is not logged', async (t) => {
  const { link, commands, logged } = await open(t)
  commands.declined = 'OOM command not allowed when used memory > maxmemory.'
  commands.declines = 1
  await link.script(PUT, [KEY], ARGS).catch(() => undefined)
  t.equal(logged.length, 1)
  const { err } = logged[0]! as { err: Error & { command?: unknown } }
  t.match(err, { name: 'ReplyError', message: /^OOM/, stack: /OOM/ })
  t.equal(err.command, 'evalsha')
})

t.test('a start waits longer for an answer than what is asked later', async (t) => {
  const { link } = await open(t, 1_500)
  t.ok(await link.call('TIME'), 'also for what it asks when it is connected')
  link.started()
  t.match(await link.call('TIME').catch((refusal: unknown) => refusal), { isLate: true })
})

t.test('a shard whose connections break again and again is waited for beyond the window, as it answers at each', async (t) => {
  const { link, commands } = await open(t)
  await put(link)
  commands.breaks = Infinity
  const [began, answer] = [performance.now(), put(link)]
  const connecting = setInterval(() => { commands.connects() }, 500)
  t.teardown(() => { clearInterval(connecting) })
  setTimeout(() => { commands.breaks = 0 }, 3_000)
  t.equal(await answer, 1)
  t.ok(performance.now() - began >= 2_900, 'it was waited for')
})

t.test('a shard that is reached at another address is known by it, also behind a redirection, which names its own', async (t) => {
  const { link, commands } = await open(t)
  commands.options.natMap = { '10.0.0.1:6379': { host: HOST, port: 1 } }
  await put(link)
  commands.slots = commands.slots.map(() => ['10.0.0.1:6379'])
  commands.asked = []
  t.equal(await put(link), 1)
  t.same(commands.asked, ['script'], 'its clock is known')
})

t.test('a shard that comes to answer while its time is asked for is not away, however late the time is', async (t) => {
  const { link, commands } = await open(t)
  await put(link)
  commands.breaks = Infinity
  commands.isSilent = true
  commands.connection = 'connecting'
  await until('a heartbeat asks for the time', () => commands.silent > 0)
  commands.connection = 'ready'
  await new Promise((resolve) => { setTimeout(resolve, 500) })
  const answer = put(link)
  // The heartbeat gives up after a second.
  await new Promise((resolve) => { setTimeout(resolve, 800) })
  commands.breaks = 0
  t.equal(await answer, 1)
})

t.test('who waits for a shard that is gone asks the one that has come in its place', async (t) => {
  const { link, commands } = await open(t)
  commands.slots = commands.slots.map(() => ['10.0.0.1:6379'])
  await put(link)
  commands.breaks = Infinity
  await new Promise((resolve) => { setTimeout(resolve, 1_000) })
  const answer = put(link)
  await until('it is waited for', () => commands.asked.length > 2)
  commands.slots = commands.slots.map(() => [SHARD])
  await until('it is forgotten', () => sizeOf(link, '#standings') === 1)
  commands.breaks = 0
  t.equal(await answer, 1)
})

t.test('shards that are gone are forgotten, however many addresses a cluster has had', async (t) => {
  const { link, commands } = await open(t)
  for (let address = 1; address <= 5; address++) {
    commands.slots = commands.slots.map(() => [`10.0.0.${address}:6379`])
    t.equal(await put(link), 1)
  }
  commands.asked = []
  await until('a heartbeat', () => sizeOf(link, '#clocks.#known') === 1, 5_000)
  t.equal(sizeOf(link, '#standings'), 2, 'the last one, and what is of no shard')
  t.equal(await put(link), 1)
})

t.test('a client that never connects again to a shard that is there is replaced, and its channels are subscribed', async (t) => {
  const { link, commands, made } = await open(t)
  commands.connection = 'ready'
  await link.subscribe('{a}')
  made[1]!.hasGivenUp = true
  await until('there is another client', () => made.length === 3, 15_000)
  t.equal(made[1]!.status, 'close')
  await until('it is used', () => link.isUp)
  const channels: string[] = []
  made[2]!.ssubscribe = async (channel: string) => channels.push(channel)
  await until('what was subscribed is subscribed', () => channels.length > 0)
  t.same(channels, ['{a}'])
})

t.test('a client whose shard is away as well is left to connect again itself', async (t) => {
  const { link, commands, made } = await open(t)
  commands.connection = 'end'
  await link.subscribe('{a}')
  made[1]!.hasGivenUp = true
  await new Promise((resolve) => { setTimeout(resolve, 9_000) })
  t.equal(made.length, 2)
})

t.test('a client that stays closed and makes no attempt is made to connect again, for commands and for subscriptions', async (t) => {
  const { link, commands, made } = await open(t)
  commands.connection = 'ready'
  await link.subscribe('{a}')
  commands.disconnect()
  t.equal(link.isUp, false)
  await until('it takes commands', () => link.canSend, 10_000)
  t.equal(await put(link), 1)
  made[1]!.disconnect()
  await until('another has its channels', () => made.length === 3 && link.isUp, 10_000)
})

t.test('clients of a cluster look at its slots as long as they are open, and by no timer of their own', async (t) => {
  const { link, made } = await open(t)
  await until('both have looked twice', () => made.every(({ looked }) => looked > 1), 10_000)
  for (const { settings } of made) t.equal(settings.slotsRefreshInterval, 0, 'that goes on behind a close')
  link.close()
  const looked = made.map((client) => client.looked)
  await new Promise((resolve) => { setTimeout(resolve, 3_000) })
  t.same(made.map((client) => client.looked), looked)
})
