import { REALTIME_ERR_ADAPTER } from '../../errors/misuse.js'
import type { Awaitable } from '../../structures/awaitable.js'
import { Pauses } from '../../structures/pauses.js'
import { every } from '../../structures/timers.js'
import type { Deadline } from '../broker/deadline.js'
import { FIRST, Late, within } from '../broker/patience.js'
import { Standing, type Asking } from '../broker/standing.js'
import { limitAttempts, loggable, lookAtSlots, makeClients, messageOf, type Client, type Servers } from './clients.js'
import { ServerClocks } from './clocks.js'
import { ClusterShards } from './cluster-shards.js'
import { ShardChannels } from './shard-channels.js'
import { Resting } from './resting.js'
import { deniedBy } from './rights.js'
import { probesOf, shardOf } from './shards.js'
import type { Script } from './scripts/script.js'
import { Unreachable, unreachableFor } from './unreachable.js'

export interface RedisLinkOptions extends Servers {
  readonly log: { warn (object: object, message: string): void }
  readonly onMessage: (channel: string, message: string) => void
  /** Called when commands work and every subscription stands. Messages sent meanwhile may have been missed. */
  readonly onUp: () => void
  readonly onDown: () => void
  /**
   * Called within seconds when a server of a cluster has restarted, or has taken another's place: it may lack what
   * was accepted last. Of a single server `run` tells that.
   */
  readonly onReplaced: () => void
}

/** Milliseconds between two checks of both connections. */
const HEARTBEAT = 2_000
/** Milliseconds between two log lines about a broker that is away. */
const QUIET = 10_000
/** Channels in one SSUBSCRIBE. */
const BATCH = 500
/** Checks in a row after which the client of a cluster has given up on a shard: it connects to one within two. */
const UNHEARD = 3
/** Times that a cluster is asked what it is, by whichever shard. */
const TRIES = 3
/** Asks the shard of a key for its time: the client finds the shard, and connects to it, as for any other command. */
const TIME = "return redis.call('TIME')"

/**
 * Two connections to Redis, one for commands and one for subscriptions; both reconnect on their own. Commands are never
 * queued while their connection is away, and each has a deadline. Subscriptions are restored here and not by the
 * client, so that it is known when they stand.
 */
export class RedisLink {
  /** Whether each key may be on another server. */
  readonly isCluster: boolean
  readonly #options: RedisLinkOptions
  /**
   * Channels to be restored, each with the call that wants it, so that a failed call takes nothing from a later one.
   */
  readonly #channels = new Map<string, symbol>()
  /** Channels that were unsubscribed here and may not yet be so at the server. */
  readonly #ending = new Set<string>()
  readonly #shardChannels: ShardChannels
  /** Those who wait until commands can be sent. */
  readonly #pauses = new Pauses()
  /** Whether the single server is there under the name ''; in a cluster by shard. */
  readonly #standings = new Map<string, Standing>([['', new Standing()]])
  /** Time of the last answer, by `performance.now()`. */
  #answeredAt = Number.NEGATIVE_INFINITY
  #commands: Client | undefined
  #subscriber: Client | undefined
  #makeSubscriber: (() => Client) | undefined
  /** Checks in a row that found no subscriptions to a shard that is there. */
  #unheard = 0
  readonly #resting = { commands: new Resting(), subscriber: new Resting() }
  #run: string | undefined
  readonly #clocks: ServerClocks
  readonly #shards: ClusterShards
  #areSubscribed = false
  #isClosed = false
  #hasOpened = false
  #hasStarted = false
  #wasUp = false
  #heartbeat: NodeJS.Timeout | undefined
  #isBeating = false
  #saidAt = -Infinity

  constructor (options: RedisLinkOptions) {
    this.#options = options
    this.isCluster = options.client?.isCluster ?? options.cluster !== undefined
    this.#clocks = new ServerClocks({
      shardOf: (key) => this.shardOf(key),
      ask: async (key) => {
        try {
          return await this.#bounded(this.#commands!.eval(TIME, 1, key))
        } catch (error) {
          throw this.#refused(error, false)
        }
      }
    })
    this.#shards = new ClusterShards({
      clocks: this.#clocks,
      standings: this.#standings,
      bounded: (answer) => this.#bounded(answer),
      isClosed: () => this.#isClosed
    })
    this.#shardChannels = new ShardChannels({
      channels: this.#channels,
      shardOf: (channel) => this.shardOf(channel),
      // Both in one go, so that the client does not count it twice.
      subscribe: async (channel) => await Promise.all([
        this.#bounded(this.#subscriber!.sunsubscribe(channel)),
        this.#bounded(this.#subscriber!.ssubscribe(channel))
      ]),
      isUp: () => this.isUp,
      onSettled: () => { this.#options.onUp() }
    })
  }

  get isClosed (): boolean { return this.#isClosed }
  /** Whether commands can be sent. */
  get canSend (): boolean { return !this.#isClosed && this.#run !== undefined && this.#commands?.status === 'ready' }
  /** Whether commands can be sent and subscriptions stand. */
  get isUp (): boolean { return this.canSend && this.#areSubscribed }
  /** Number of the database to which commands go. */
  get database (): number { return this.isCluster ? 0 : Number(this.#commands?.options?.db ?? 0) }
  /** Run id of the server to which commands go; empty in a cluster, where each shard has its own. */
  get run (): string { return this.#run ?? '' }

  /**
   * Milliseconds by which the clock of the server that keeps `key` is ahead of this machine's; 0 where it is not known.
   */
  ahead (key: string): number { return this.#clocks.ahead(key) }

  /** Which shard of a cluster serves each slot; nothing of a single server. */
  get slots (): Client['slots'] { return this.isCluster ? this.#commands?.slots : undefined }

  /** Name of the shard that keeps a key, as far as it is known; '' of a single server. */
  shardOf (key: string): string {
    return this.isCluster ? shardOf(key, this.#commands?.slots, this.#commands?.options?.natMap) : ''
  }

  /** @throws REALTIME_ERR_ADAPTER when the server cannot be reached or is too old */
  async open (): Promise<void> {
    const [commands, makeSubscriber] = await makeClients(this.#options, () => this.#hasOpened)
    this.#commands = commands
    this.#makeSubscriber = makeSubscriber
    const connected = this.#watch(commands, 'commands', () => this.#commandsReady())
    if (this.isCluster) {
      // A cluster has told which shard serves which slot, which is the first step of a connection.
      commands.on('refresh', () => { if (this.#run === undefined && this.#hasOpened) this.#seen() })
      this.#shards.watch(commands)
    }
    try {
      await Promise.all([commands.connect(), connected, this.#subscribeBy(makeSubscriber())])
    } catch (error) {
      this.close()
      throw error instanceof REALTIME_ERR_ADAPTER
        ? error
        : deniedBy(error) ?? new REALTIME_ERR_ADAPTER(
          `Redis cannot be reached (${messageOf(error)}); check the url, cluster or sentinels option of redis()`
        )
    }
    this.#hasOpened = true
    this.#heartbeat = every(() => { void this.#beat() }, HEARTBEAT).unref()
    this.#said()
  }

  async #subscribeBy (subscriber: Client): Promise<void> {
    this.#subscriber = subscriber
    const connected = this.#watch(subscriber, 'subscriptions', () => this.#subscriberReady())
    subscriber.on('smessage', (channel: string, message: string) => {
      if (subscriber === this.#subscriber) this.#options.onMessage(channel, message)
    })
    if (this.isCluster) subscriber.on('subscribersReady', () => { this.#shardChannels.changed() })
    if (this.#hasStarted) limitAttempts(subscriber, this.#options.timeout)
    await Promise.all([subscriber.connect(), connected])
  }

  /**
   * Takes another client for subscriptions: that of a cluster never connects to a shard again when it was interrupted
   * while it was doing so.
   */
  #renewSubscriber (): void {
    const former = this.#subscriber
    this.#warn(new Error('the client has given up on a shard that is there'), 'subscriptions')
    this.#areSubscribed = false
    this.#said()
    // What fails here is tried again by the client itself.
    this.#subscribeBy(this.#makeSubscriber!()).catch(() => {})
    former?.disconnect()
  }

  /** Has each client that has stopped to connect do so again. */
  #wakeResting (): void {
    if (this.#resting.commands.look(this.#commands!)) {
      this.#warn(new Error('the client had stopped to connect, and is made to do so again'), 'commands')
      this.#commands!.connect().catch(() => {})
    }
    if (this.isCluster && this.#resting.subscriber.look(this.#subscriber!)) this.#renewSubscriber()
  }

  /** Called when the node has started: what it asks from now on has the time of one command. */
  started (): void {
    this.#hasStarted = true
    for (const client of [this.#commands!, this.#subscriber!]) limitAttempts(client, this.#options.timeout)
  }

  close (): void {
    this.#isClosed = true
    clearInterval(this.#heartbeat)
    this.#shardChannels.close()
    this.#commands?.disconnect()
    this.#subscriber?.disconnect()
    for (const standing of this.#standings.values()) standing.close()
    this.#pauses.end()
  }

  /** Resolves when `ready` has succeeded for the first time, rejects when it fails that time. */
  async #watch (client: Client, name: string, ready: () => Promise<void>): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      let greeted = (): void => undefined
      client.on('connect', () => {
        const greeting = new Promise<void>((resolve) => { greeted = resolve })
        // The client would wait for ever for a server that takes its connection and says nothing.
        within(greeting, this.#patience).catch(() => { if (!this.#isClosed) this.#reconnect(client) })
      })
      client.on('ready', () => {
        greeted()
        ready().then(resolve, (error: Error) => {
          reject(error)
          // A connection that cannot be made ready is of no use, so the client reconnects, where it does not yet.
          if (!this.#isClosed && client.status === 'ready') client.disconnect(true)
        })
      })
      client.on('close', () => {
        greeted()
        if (name === 'commands') this.#lost()
        else if (client === this.#subscriber) this.#areSubscribed = false
        reject(new Error('the connection was closed'))
        this.#said()
      })
      client.on('error', (error: Error) => { this.#warn(error, name) })
      client.on('node error', (error: Error) => { this.#warn(error, name) })
      client.on('nodeError', (error: Error) => { this.#warn(error, name) })
    })
  }

  #reconnect (client: Client): void {
    if (this.isCluster && client === this.#subscriber) this.#renewSubscriber()
    else client.disconnect(true)
  }

  #lost (): void {
    this.#run = undefined
    if (!this.#isClosed) for (const { link } of this.#standings.values()) link.lost()
  }

  /** Tells that the servers answer although commands cannot be sent yet: who asks them waits again. */
  #seen (): void { if (!this.#isClosed) for (const { link } of this.#standings.values()) link.seen() }

  async #commandsReady (): Promise<void> {
    this.#seen()
    if (this.isCluster && this.#hasOpened) {
      // What it is is known, and each question more is one at which its connections may break again.
      this.#clocks.forgetAll()
      this.#ready('')
      return
    }
    const info = await this.#info()
    const version = /^redis_version:(\d+)/m.exec(info)?.[1]
    if (version !== undefined && Number(version) < 7) {
      throw new REALTIME_ERR_ADAPTER(
        `redis() needs Redis 7.0 or newer for sharded publish and subscribe; this server is ${version}`
      )
    }
    this.#clocks.forgetAll()
    await this.#readClocks()
    this.#ready(this.isCluster ? '' : /^run_id:(\w+)/m.exec(info)?.[1] ?? '')
  }

  #ready (run: string): void {
    this.#run = run
    for (const { link } of this.#standings.values()) link.over()
    this.#pauses.wake()
    this.#said()
  }

  async #subscriberReady (): Promise<void> {
    const channels = [...this.#channels.keys()]
    const steps: Array<Promise<unknown>> = []
    if (this.isCluster) this.#shardChannels.changed()
    else {
      for (let index = 0; index < channels.length; index += BATCH) {
        steps.push(this.#bounded(this.#subscriber!.ssubscribe(...channels.slice(index, index + BATCH))))
      }
    }
    await Promise.all(steps)
    this.#areSubscribed = true
    this.#said()
  }

  /** A cluster whose connection to one shard breaks stays connected, and is asked again. */
  async #info (): Promise<string> {
    for (let tries = TRIES; ; tries--) {
      try {
        return String(await this.#bounded(this.#commands!.call('INFO', 'server')))
      } catch (error) {
        if (!this.isCluster || tries === 1 || this.#commands!.status !== 'ready') throw error
      }
    }
  }

  /** Reports a change of state, once. */
  #said (): void {
    const { isUp } = this
    if (isUp === this.#wasUp || this.#isClosed) return
    this.#wasUp = isUp
    if (isUp) this.#options.onUp()
    else this.#options.onDown()
  }

  /** Reads the clocks of all servers that are connected. */
  async #readClocks (): Promise<void> {
    if (this.isCluster) await this.#shards.read(this.#commands!)
    else await this.#clocks.read(() => '', () => this.#bounded(this.#commands!.call('TIME')))
  }

  /**
   * Checks both connections, because a server that stopped without closing its connections is only noticed by a
   * request.
   */
  async #beat (): Promise<void> {
    this.#wakeResting()
    if (this.isCluster) lookAtSlots(this.#commands!, this.#subscriber!)
    if (this.#isBeating) return
    this.#isBeating = true
    if (this.isCluster) {
      await this.#lookAtSubscriptions(await this.#shards.look(this.#commands!))
      this.#isBeating = false
      if (this.isUp && this.#shards.takeReplaced()) this.#options.onReplaced()
      return
    }
    const look = async (client: Client, ask: () => Promise<unknown>): Promise<void> => {
      if (client.status !== 'ready') return
      try {
        await ask()
      } catch {
        if (this.#isClosed || client.status !== 'ready') return
        // The server had its time to answer, so no caller waits for it once more.
        if (client === this.#commands) this.#standings.get('')!.link.known()
        client.disconnect(true)
      }
    }
    await Promise.all([
      look(this.#commands!, () => this.#readClocks()),
      look(this.#subscriber!, () => this.#bounded(this.#subscriber!.call('PING')))
    ])
    this.#isBeating = false
  }

  /**
   * Asks each shard through the connection that brings its messages, which the client ends where there is no answer.
   *
   * @param there shards that answer commands
   */
  async #lookAtSubscriptions (there: ReadonlySet<string>): Promise<void> {
    const subscriber = this.#subscriber!
    if (subscriber.status !== 'ready' || this.#channels.size === 0) return
    const isHeard = await Promise.all(probesOf(subscriber.slots ?? []).map(async ({ shard, channel }) => {
      if (!there.has(shard)) return true
      return await this.#bounded(subscriber.sunsubscribe(channel)).then(() => true, (error: unknown) => {
        return error instanceof Late || (error as Error).name === 'ReplyError'
      })
    }))
    this.#unheard = isHeard.every(Boolean) ? 0 : this.#unheard + 1
    if (this.#unheard < UNHEARD || this.#isClosed || subscriber !== this.#subscriber) return
    this.#unheard = 0
    this.#renewSubscriber()
  }

  /**
   * Runs a script.
   *
   * @param deadline when the caller gives up: a script that changes something does nothing after that, wherever it
   *   was held up
   * @param patience milliseconds to wait for the answer
   * @throws Unreachable
   */
  async script (
    script: Script,
    keys: readonly string[],
    args: ReadonlyArray<string | number>,
    deadline?: Deadline,
    patience = this.#patience
  ): Promise<unknown> {
    if (!this.canSend) throw new Unreachable(false, { isBroken: true })
    const commands = this.#commands!
    const read = (at: number): Awaitable<number> => this.#clocks.timeOf(keys[0]!, at)
    const end = performance.now() + this.#options.timeout
    const time = script.isBounded ? deadline?.on(this.run, read) ?? read(end) : undefined
    const all = time === undefined ? args : [...args, time instanceof Promise ? await time : time]
    try {
      return await this.#bounded(commands.evalsha(script.sha, keys.length, ...keys, ...all), patience)
    } catch (error) {
      if (!messageOf(error).startsWith('NOSCRIPT')) throw this.#refused(error, true, script.isBounded)
    }
    try {
      return await this.#bounded(commands.eval(script.lua, keys.length, ...keys, ...all), patience)
    } catch (error) {
      throw this.#refused(error, true, script.isBounded)
    }
  }

  /**
   * What comes of one item of a script that goes on with the others.
   *
   * @param message the error of the server
   */
  declined (message: string): Unreachable {
    return this.#refused(Object.assign(new Error(message), { name: 'ReplyError' }))
  }

  /**
   * Waits for a connection that broke and reconnects, or for a server that declines, and asks again, for decisions that
   * must not be made without the broker because of a short outage. Where the broker is away, or has declined for longer
   * than that, it does not wait.
   *
   * @param key decides which shard is asked
   * @param ask must be idempotent
   * @throws Unreachable
   */
  async insist<T> (asking: Asking, key: string, ask: () => Promise<T>): Promise<T> {
    const shard = this.shardOf(key)
    let standing = this.#standings.get(shard)
    if (standing === undefined) this.#standings.set(shard, standing = new Standing())
    return await standing.insist(asking, {
      ask,
      canAsk: () => this.canSend,
      isDeclined: (error) => !this.#isClosed && error instanceof Unreachable && error.isDeclined,
      isBlink: (error) => {
        if (this.#isClosed || !(error instanceof Unreachable)) return false
        // The server is there, and the command was held up on this side.
        if (error.isBroken || error.isExpired) return true
        // Other requests were answered while this one was waiting.
        return error.isLate && performance.now() - this.#answeredAt < this.#options.timeout / 2
      }
    })
  }

  /**
   * Sends one command of one key that changes nothing, so that it may run late.
   *
   * @throws Unreachable
   */
  async call (command: string, ...args: Array<string | number>): Promise<unknown> {
    if (!this.canSend) throw new Unreachable(false, { isBroken: true })
    try {
      return await this.#bounded(this.#commands!.call(command, ...args))
    } catch (error) {
      throw this.#refused(error)
    }
  }

  /** @throws Unreachable; the channel is then not among those that are restored */
  async subscribe (channel: string): Promise<void> {
    if (!this.isUp) throw new Unreachable(false)
    const mine = Symbol(channel)
    this.#channels.set(channel, mine)
    try {
      await this.#bounded(this.#subscriber!.ssubscribe(channel))
    } catch (error) {
      if (this.#channels.get(channel) === mine) this.#channels.delete(channel)
      throw this.#refused(error)
    }
  }

  unsubscribe (channel: string): void {
    if (!this.#channels.delete(channel) || this.#subscriber?.status !== 'ready') return
    this.#ending.add(channel)
    // The subscription ends with its connection at the latest.
    this.#subscriber.sunsubscribe(channel).catch(() => {}).finally(() => { this.#ending.delete(channel) })
  }

  /** Whether the server may count this process among the subscribers of the channel. */
  mayHear (channel: string): boolean { return this.#channels.has(channel) || this.#ending.has(channel) }

  /** Resolves when commands can be sent again, at the latest after `patience` ms. */
  async back (patience: number): Promise<void> {
    if (!this.canSend && patience > 0) await this.#pauses.wait(patience)
  }

  /** Milliseconds to wait for an answer. */
  get #patience (): number { return this.#options.timeout * (this.#hasStarted ? 1 : FIRST) }

  async #bounded<T> (answer: Promise<T>, patience = this.#patience): Promise<T> {
    const value = await within(answer, patience)
    this.#answeredAt = performance.now()
    return value
  }

  /**
   * @param wasSent whether it is about the command of the caller itself
   * @param isChange whether that is a script that changes something
   * @throws REALTIME_ERR_ADAPTER for a right that is missing at the start
   */
  #refused (error: unknown, wasSent = true, isChange = false): Unreachable {
    const denied = this.#hasStarted ? undefined : deniedBy(error)
    if (denied !== undefined) throw denied
    const unreachable = unreachableFor(error, wasSent, isChange)
    const { isBroken, isExpired } = unreachable
    if (!isBroken && !isExpired) this.#warn(error, 'commands')
    return unreachable
  }

  #warn (error: unknown, connection: string): void {
    const now = performance.now()
    if (this.#isClosed || now - this.#saidAt < QUIET) return
    this.#saidAt = now
    this.#options.log.warn({ err: loggable(error), connection }, 'Redis answered with an error or could not be reached')
  }
}
