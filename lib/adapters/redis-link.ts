import type { Cluster, Redis, RedisOptions as ClientOptions } from 'ioredis'
import { REALTIME_ERR_ADAPTER, Refusal } from '../errors.js'
import { after, every } from '../timers.js'
import type { Script } from './redis-scripts.js'

export interface RedisLinkOptions {
  readonly url: string | undefined
  readonly client: Redis | Cluster | undefined
  readonly cluster: ReadonlyArray<{ readonly host: string, readonly port: number }> | undefined
  readonly sentinels: { readonly name: string, readonly nodes: ReadonlyArray<{ readonly host: string, readonly port: number }> } | undefined
  readonly settings: Partial<ClientOptions>
  /** milliseconds */
  readonly timeout: number
  readonly log: { warn (object: object, message: string): void }
  readonly onMessage: (channel: string, message: string) => void
  /** Commands work and every subscription stands. What was sent meanwhile may have been missed. */
  readonly onUp: () => void
  readonly onDown: () => void
}

/** The broker could not be asked, or did not answer. */
export class Unreachable extends Refusal {
  /** the connection broke with the command under way: whether it ran is not known */
  readonly isUncertain: boolean
  constructor (isUncertain: boolean) {
    super('unavailable', { retryAfter: 1_000 })
    this.isUncertain = isUncertain
  }
}

/** What is used of ioredis, the same for one server, Sentinel and Cluster. */
interface Client {
  readonly status: string
  on (event: string, listener: (...args: never[]) => void): unknown
  connect (): Promise<void>
  disconnect (reconnect?: boolean): void
  call (command: string, ...args: Array<string | number>): Promise<unknown>
  evalsha (sha: string, keys: number, ...args: Array<string | number>): Promise<unknown>
  eval (lua: string, keys: number, ...args: Array<string | number>): Promise<unknown>
  ssubscribe (...channels: string[]): Promise<unknown>
  sunsubscribe (...channels: string[]): Promise<unknown>
}

/** Milliseconds between two looks at both connections. */
const HEARTBEAT = 2_000
/** Milliseconds between two log lines about a broker that is away. */
const QUIET = 10_000
/** Channels in one SSUBSCRIBE. */
const BATCH = 500
/** Cluster connections restore subscriptions on their own and do not say when: looked at again after this many milliseconds. */
const SETTLED = 1_000

/**
 * Two connections to Redis, one for commands and one for subscriptions; both come back on their own. Commands are never queued while
 * their connection is away, and each has a deadline. Subscriptions are restored here, not by the client, so that it is known when they stand.
 */
export class RedisLink {
  readonly #options: RedisLinkOptions
  /** those to be restored, each with the call that wants it: one that failed takes nothing from a later one */
  readonly #channels = new Map<string, symbol>()
  /** unsubscribed here, and not yet known to be so by the server */
  readonly #ending = new Set<string>()
  readonly #waiting = new Set<() => void>()
  #commands: Client | undefined
  #subscriber: Client | undefined
  #isCluster = false
  #run: string | undefined
  /** server time minus `performance.now()`, milliseconds */
  #clock = 0
  #areSubscribed = false
  #isClosed = false
  #hasOpened = false
  #wasUp = false
  #heartbeat: NodeJS.Timeout | undefined
  #settling: NodeJS.Timeout | undefined
  #isBeating = false
  #saidAt = -Infinity

  constructor (options: RedisLinkOptions) {
    this.#options = options
  }

  /** commands can be sent */
  get canSend (): boolean { return !this.#isClosed && this.#run !== undefined && this.#commands?.status === 'ready' }
  /** commands can be sent and subscriptions stand */
  get isUp (): boolean { return this.canSend && this.#areSubscribed }
  /** run id of the server that commands go to; empty in a cluster, where each shard knows its own */
  get run (): string { return this.#run ?? '' }

  /** Server time in milliseconds, `ahead` ms from now; 0 where servers differ. */
  deadline (ahead: number): number {
    return this.#isCluster ? 0 : Math.ceil(this.#clock + performance.now() + ahead)
  }

  /** @throws REALTIME_ERR_ADAPTER when the server cannot be reached or is too old */
  async open (): Promise<void> {
    const [commands, subscriber] = await this.#clients()
    this.#commands = commands
    this.#subscriber = subscriber
    const connected = [this.#watch(commands, 'commands', () => this.#commandsReady()), this.#watch(subscriber, 'subscriptions', () => this.#subscriberReady())]
    subscriber.on('smessage', (channel: string, message: string) => { this.#options.onMessage(channel, message) })
    if (this.#isCluster) subscriber.on('subscribersReady', () => { this.#settleLater() })
    try {
      await Promise.all([commands.connect(), subscriber.connect(), ...connected])
    } catch (error) {
      this.close()
      throw error instanceof REALTIME_ERR_ADAPTER ? error : new REALTIME_ERR_ADAPTER(`Redis cannot be reached (${messageOf(error)}); check the url, cluster or sentinels option of redis()`)
    }
    this.#hasOpened = true
    this.#heartbeat = every(() => { void this.#beat() }, HEARTBEAT).unref()
    this.#said()
  }

  close (): void {
    this.#isClosed = true
    clearInterval(this.#heartbeat)
    clearTimeout(this.#settling)
    this.#commands?.disconnect()
    this.#subscriber?.disconnect()
    this.#wake()
  }

  async #clients (): Promise<[Client, Client]> {
    const { url, client, cluster, sentinels, settings, timeout } = this.#options
    const own = {
      ...settings,
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResubscribe: false,
      autoResendUnfulfilledCommands: false,
      // Whatever is under way when a connection breaks is rejected at once: who sent it decides.
      maxRetriesPerRequest: 0,
      commandTimeout: timeout,
      connectTimeout: timeout,
      // A frozen server does not answer a close either.
      disconnectTimeout: 100,
      retryStrategy,
      // Nor does a sentinel that stands still: the next one is asked.
      sentinelCommandTimeout: timeout,
      // A start is refused when no sentinel answers. A client that gives up later would never come back.
      sentinelRetryStrategy: (times: number) => this.#hasOpened ? retryStrategy(times) : null,
      reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
      keyPrefix: '',
      stringNumbers: false,
      replyMapping: 'legacy' as const
    }
    const { lazyConnect: _lazy, retryStrategy: _retry, ...perNode } = own
    // Connections to shards are made at their first command, which has to wait for them; `#bounded` sees to it that it does not wait for ever.
    const clustered = { lazyConnect: true, enableOfflineQueue: true, retryDelayOnFailover: 0, keyPrefix: '', redisOptions: perNode }
    if (client !== undefined) {
      this.#isCluster = client.isCluster
      const copy = (isSubscriber: boolean): unknown => client.isCluster
        ? (client as Cluster).duplicate([], { ...clustered, shardedSubscribers: isSubscriber })
        : (client as Redis).duplicate(own)
      return [copy(false) as Client, copy(true) as Client]
    }
    const ioredis = await import('ioredis').catch((error: unknown) => {
      throw new REALTIME_ERR_ADAPTER(`redis() needs the package ioredis: npm install ioredis (${messageOf(error)})`)
    })
    if (cluster !== undefined) {
      this.#isCluster = true
      const make = (isSubscriber: boolean): unknown => new ioredis.Cluster([...cluster], { ...clustered, shardedSubscribers: isSubscriber })
      return [make(false) as Client, make(true) as Client]
    }
    const make = (): unknown => sentinels === undefined
      ? new ioredis.Redis(url ?? 'redis://127.0.0.1:6379', own)
      : new ioredis.Redis({ ...own, sentinels: [...sentinels.nodes], name: sentinels.name })
    return [make() as Client, make() as Client]
  }

  /** Resolves when `ready` has succeeded for the first time, rejects when it fails that time. */
  async #watch (client: Client, name: string, ready: () => Promise<void>): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      client.on('ready', () => {
        ready().then(resolve, (error: Error) => {
          reject(error)
          // A connection that cannot be made ready is of no use: come again.
          if (!this.#isClosed) client.disconnect(true)
        })
      })
      client.on('close', () => {
        if (name === 'commands') this.#run = undefined
        else this.#areSubscribed = false
        reject(new Error('the connection was closed'))
        this.#said()
      })
      client.on('error', (error: Error) => { this.#warn(error, name) })
      client.on('node error', (error: Error) => { this.#warn(error, name) })
      client.on('nodeError', (error: Error) => { this.#warn(error, name) })
    })
  }

  async #commandsReady (): Promise<void> {
    const info = String(await this.#commands!.call('INFO', 'server'))
    const version = /^redis_version:(\d+)/m.exec(info)?.[1]
    if (version !== undefined && Number(version) < 7) throw new REALTIME_ERR_ADAPTER(`redis() needs Redis 7.0 or newer for sharded publish and subscribe; this server is ${version}`)
    await this.#readClock()
    this.#run = this.#isCluster ? '' : /^run_id:(\w+)/m.exec(info)?.[1] ?? ''
    this.#wake()
    this.#said()
  }

  async #subscriberReady (): Promise<void> {
    const channels = [...this.#channels.keys()]
    const steps: Array<Promise<unknown>> = []
    if (this.#isCluster) this.#settleLater()
    else for (let index = 0; index < channels.length; index += BATCH) steps.push(this.#subscriber!.ssubscribe(...channels.slice(index, index + BATCH)))
    await Promise.all(steps)
    this.#areSubscribed = true
    this.#said()
  }

  #settleLater (): void {
    if (this.#isClosed) return
    clearTimeout(this.#settling)
    this.#settling = after(() => { if (this.isUp) this.#options.onUp() }, SETTLED).unref()
  }

  /** Tells a change of state, once. */
  #said (): void {
    const { isUp } = this
    if (isUp === this.#wasUp || this.#isClosed) return
    this.#wasUp = isUp
    if (isUp) this.#options.onUp()
    else this.#options.onDown()
  }

  async #readClock (): Promise<void> {
    if (this.#isCluster) return
    const before = performance.now()
    const [seconds, micros] = await this.#commands!.call('TIME') as [string, string]
    this.#clock = Number(seconds) * 1_000 + Number(micros) / 1_000 - (before + performance.now()) / 2
  }

  /** A server that stopped without closing its connections is only noticed by asking. */
  async #beat (): Promise<void> {
    if (this.#isBeating || this.#isCluster) return
    this.#isBeating = true
    const look = async (client: Client, ask: () => Promise<unknown>): Promise<void> => {
      if (client.status !== 'ready') return
      try {
        await ask()
      } catch {
        if (!this.#isClosed && client.status === 'ready') client.disconnect(true)
      }
    }
    await Promise.all([look(this.#commands!, () => this.#readClock()), look(this.#subscriber!, () => this.#subscriber!.call('PING'))])
    this.#isBeating = false
  }

  /** @throws Unreachable */
  async script (script: Script, keys: readonly string[], args: ReadonlyArray<string | number>): Promise<unknown> {
    if (!this.canSend) throw new Unreachable(false)
    const commands = this.#commands!
    try {
      return await this.#bounded(commands.evalsha(script.sha, script.keys, ...keys, ...args))
    } catch (error) {
      if (!messageOf(error).startsWith('NOSCRIPT')) throw this.#refused(error)
    }
    try {
      return await this.#bounded(commands.eval(script.lua, script.keys, ...keys, ...args))
    } catch (error) {
      throw this.#refused(error)
    }
  }

  /** One command of one key. @throws Unreachable */
  async call (command: string, ...args: Array<string | number>): Promise<unknown> {
    if (!this.canSend) throw new Unreachable(false)
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
    // Lost with its connection at the latest.
    this.#subscriber.sunsubscribe(channel).catch(() => {}).finally(() => { this.#ending.delete(channel) })
  }

  /** The server may count this process among those that hear the channel. */
  mayHear (channel: string): boolean { return this.#channels.has(channel) || this.#ending.has(channel) }

  /** Resolves when commands can be sent again, at the latest after `patience` ms. */
  async back (patience: number): Promise<void> {
    if (this.canSend || this.#isClosed || patience <= 0) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        resolve()
      }
      const timer = after(done, patience)
      this.#waiting.add(done)
    })
  }

  /** A cluster client may hold a command back without a deadline while it looks for a shard. */
  async #bounded<T> (answer: Promise<T>): Promise<T> {
    if (!this.#isCluster) return await answer
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = after(() => { reject(new Error('no shard has answered in time')) }, this.#options.timeout)
    })
    try {
      return await Promise.race([answer, late])
    } finally {
      clearTimeout(timer)
    }
  }

  #wake (): void { for (const done of [...this.#waiting]) done() }

  #refused (error: unknown): Unreachable {
    const { name } = error as Error
    const message = messageOf(error)
    const isBroken = name === 'MaxRetriesPerRequestError' || name === 'AbortError' || message === 'Connection is closed.'
    if (!isBroken && !message.startsWith('EXPIRED')) this.#warn(error, 'commands')
    return new Unreachable(isBroken)
  }

  #warn (error: unknown, connection: string): void {
    const now = performance.now()
    if (this.#isClosed || now - this.#saidAt < QUIET) return
    this.#saidAt = now
    this.#options.log.warn({ err: error, connection }, 'Redis answered with an error or could not be reached')
  }
}

/** @returns milliseconds before the next try */
function retryStrategy (times: number): number {
  return Math.min(50 * 2 ** Math.min(times, 5), 1_000) * (0.75 + Math.random() / 2)
}

function messageOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
