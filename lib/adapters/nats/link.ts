import type { JetStreamClient, JetStreamManager, JetStreamPublishOptions, PubAck } from '@nats-io/jetstream'
import type { KV } from '@nats-io/kv'
import type { Msg, NatsConnection, NodeConnectionOptions, Subscription } from '@nats-io/transport-node'
import { isKept } from './acks.js'
import { dialFirst, endAttempt, endBrokenAttempt, hearErrors, limitAttempts } from './dialling.js'
import { isUnavailable, Refusal } from '../../errors/refusal.js'
import { REALTIME_ERR_ADAPTER } from '../../errors/misuse.js'
import { deniedBy, fixOf, throwDenied } from './rights.js'
import { Pauses } from '../../structures/pauses.js'
import { FIRST, LoopClock, within } from '../broker/patience.js'
import { Declined, Standing, type Asking } from '../broker/standing.js'
import type { Unread } from '../broker/unread.js'

export interface NatsLinkOptions {
  readonly url: string | readonly string[]
  readonly connection: NatsConnection | undefined
  readonly settings: Partial<NodeConnectionOptions>
  /** Stands in each subject of this adapter. */
  readonly prefix: string
  readonly jetstream: boolean
  /** Milliseconds that one request may take. */
  readonly timeout: number
  readonly log: { warn (object: object, message: string): void }
  /** Is told what a callback throws: its message cannot be read. */
  readonly unread: Unread
  /**
   * Called when the link is connected again and every subscription stands.
   *
   * @param isOther whether this link has not seen this run of this server before: its data may be other data
   */
  readonly onUp: (isOther: boolean) => void
  readonly onDown: () => void
  /** Called when servers of the cluster have lost or found each other while the link stands. */
  readonly onParted: () => void
}

export interface BucketOptions {
  /** Milliseconds that a value is kept. */
  readonly ttl: number
  readonly replicas: number
  readonly storage: 'file' | 'memory'
}

/**
 * Milliseconds for which the client waits beyond the time that this link waits: its timers cannot tell a silent server
 * from a process that stood still.
 */
const SPARE = 60_000
/**
 * Milliseconds from one attempt to reach a server to the next one, and what is added at random. They bound how late a
 * node hears of what was sent through a blink, such as a revocation, which has 2 s: at most 200 ms until the next
 * attempt, none for an attempt that breaks (see `endBrokenAttempt`), and then eight answers one after the other: of the
 * connection, its greeting, and the first ping; of the ping below; of the control stream's state; and three for what
 * was missed in it, which are one in a cluster. That leaves 225 ms for each of them; with TLS there are two more, and
 * 180 ms. The client adds up to a second at random where the link has TLS, unless told otherwise.
 */
const WAIT = { least: 100, jitter: 100 }
/** Bytes of one message, where the server does not tell. */
const MAX_PAYLOAD = 1_048_576
/** Milliseconds between two log lines about a broker that is away. */
const QUIET = 10_000
/** Times that a stream is looked for that another node may be making. */
const MOST_TRIES = 5
/** Runs of servers that are known; beyond them the oldest is forgotten, and counts as another one when it is met. */
const MAX_SERVERS = 64

/**
 * One connection to NATS. The client reconnects and subscribes again on its own, but would buffer messages sent
 * meanwhile, so this link sends none meanwhile.
 */
export class NatsLink {
  readonly #options: NatsLinkOptions
  /** The clock by which waiting times are measured. */
  readonly clock = new LoopClock()
  #connection: NatsConnection | undefined
  #js: JetStreamClient | undefined
  #jsm: JetStreamManager | undefined
  #open: ((name: string, options: BucketOptions) => Promise<KV>) | undefined
  #isUp = false
  #isClosed = false
  #hasStarted = false
  /** Those who wait until the server can be asked. */
  readonly #pauses = new Pauses()
  readonly #standing = new Standing()
  /** Ids of the servers that were met. */
  readonly #servers = new Set<string>()
  /** Number of times that the connection broke. */
  #breaks = 0
  /** Requests whose answers are lost when the connection breaks; the client would wait for them all the same. */
  readonly #underWay = new Set<() => void>()
  /** Time of the last answer, by `performance.now()`. */
  #answeredAt = Number.NEGATIVE_INFINITY
  #saidAt = -Infinity
  /** The same for rights that are denied, which no other line may hide. */
  #deniedAt = -Infinity

  constructor (options: NatsLinkOptions) {
    this.#options = options
  }

  get isUp (): boolean { return this.#isUp }
  /** Id of the server, another one each time that it starts. */
  get serverId (): string { return this.#connection?.info?.server_id ?? '' }
  /** Whether streams may be led by another server than the one that is asked. */
  get isClustered (): boolean { return this.#connection?.info?.cluster !== undefined }
  /** Bytes of one message, headers included, that the server takes. */
  get maxPayload (): number { return this.#connection?.info?.max_payload ?? MAX_PAYLOAD }
  get timeout (): number { return this.#options.timeout }
  /** Number of those who wait until the server can be asked. */
  get waiting (): number { return this.#pauses.size }

  /** @throws REALTIME_ERR_ADAPTER */
  async open (): Promise<void> {
    const { url, connection, settings, jetstream, timeout } = this.#options
    const load = async <T>(name: string, loading: Promise<T>): Promise<T> => await loading.catch((error: unknown) => {
      throw new REALTIME_ERR_ADAPTER(`nats() needs the package ${name}: npm install ${name} (${messageOf(error)})`)
    })
    if (connection === undefined) {
      const { connect } = await load('@nats-io/transport-node', import('@nats-io/transport-node'))
      this.#connection = await dialFirst(async () => await connect({
        reconnectTimeWait: WAIT.least,
        reconnectJitter: WAIT.jitter,
        reconnectJitterTLS: WAIT.jitter,
        // After two pings without an answer the client takes the link for dead.
        pingInterval: 1_000,
        ...settings,
        servers: [url].flat() as string[],
        timeout: timeout * FIRST,
        maxReconnectAttempts: -1
      })).catch((error: unknown) => {
        throw new REALTIME_ERR_ADAPTER(`NATS cannot be reached (${messageOf(error)}); check the url option of nats()`)
      })
      limitAttempts(this.#connection, timeout)
    } else this.#connection = connection
    hearErrors(this.#connection)
    if (jetstream) {
      const { jetstream: client } = await load('@nats-io/jetstream', import('@nats-io/jetstream'))
      const { Kvm } = await load('@nats-io/kv', import('@nats-io/kv'))
      const js = client(this.#connection, { timeout: timeout + SPARE })
      this.#jsm = await js.jetstreamManager().catch(async (error: unknown) => {
        await this.close()
        throwDenied(error)
        throw new REALTIME_ERR_ADAPTER(
          `this NATS server offers no JetStream (${messageOf(error)}); enable it, or pass nats({ jetstream: false }) for live events only: no history, resume, presence, limits or claims across nodes`
        )
      })
      this.#js = js
      const kvm = new Kvm(js)
      // The bucket's leader is asked: a copy may be behind, and for a bucket that is gone no server would answer at
      // all.
      this.#open = async (name, { ttl, replicas, storage }) => await kvm.create(name, {
        ttl,
        replicas,
        history: 1,
        // The client has an enum for these words, whose values it does not export as types.
        storage: storage as never,
        allow_direct: false
      })
    }
    this.#isUp = true
    this.#meet()
    this.clock.start()
    void this.#watch(this.#connection)
  }

  /** Called when the node has started: what it asks from now on has the time of one request. */
  started (): void { this.#hasStarted = true }

  /**
   * Has the log say at the start where streams may be made and not changed, which is needed no sooner than an option
   * is another one, or a message is to be remembered for longer. Without a configuration the server changes nothing.
   */
  async tryRights (stream: string): Promise<void> {
    const ask = async (): Promise<unknown> => {
      return await this.#connection!.request(`$JS.API.STREAM.UPDATE.${stream}`, '', { timeout: this.timeout + SPARE })
    }
    await this.attempt(ask).catch(() => {})
  }

  async #watch (connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (this.#isClosed) return
      if (status.type === 'disconnect') {
        this.#down()
        endBrokenAttempt(connection)
      } else if (status.type === 'reconnect') {
        hearErrors(connection)
        this.#standing.link.seen()
        // Subscriptions have been sent again; the answer to a ping proves that the server has them.
        connection.flush().then(() => {
          if (this.#isClosed || this.#isUp || connection.isClosed()) return
          this.#isUp = true
          this.#standing.link.over()
          this.#options.onUp(this.#meet())
          this.#pauses.wake()
        }, () => {})
      } else if (status.type === 'staleConnection') this.#standing.link.known()
      else if (status.type === 'error' && this.#isOurs(status.error)) this.#warn(status.error)
      else if (status.type === 'update' && this.#isUp) {
        const { added = [], deleted = [] } = status
        if (added.length + deleted.length > 0) this.#options.onParted()
      }
    }
    if (!this.#isClosed) this.#down()
  }

  /** @returns whether it is the first time */
  #meet (): boolean {
    const { serverId } = this
    if (this.#servers.has(serverId)) return false
    this.#servers.add(serverId)
    for (const oldest of this.#servers) {
      if (this.#servers.size <= MAX_SERVERS) break
      this.#servers.delete(oldest)
    }
    return true
  }

  #down (): void {
    if (!this.#isUp) return
    this.#isUp = false
    this.#breaks++
    this.#standing.link.lost()
    for (const broken of [...this.#underWay]) broken()
    this.#options.onDown()
  }

  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#isUp = false
    this.clock.stop()
    this.#standing.close()
    this.#pauses.wake()
    // A connection of the application is left open; its subscriptions have been ended by their owners.
    if (this.#options.connection !== undefined || this.#connection === undefined) return
    await this.#connection.close()
    endAttempt(this.#connection)
  }

  /** @throws Refusal `unavailable` */
  get jsm (): JetStreamManager { return this.#ready(this.#jsm) }
  /** @throws Refusal `unavailable` */
  get js (): JetStreamClient { return this.#ready(this.#js) }

  #ready<T> (part: T | undefined): T {
    if (!this.#isUp || part === undefined) throw away()
    return part
  }

  /**
   * Publishes to the stream that takes the subject. Resolves when its leader has accepted the message.
   *
   * @throws Refusal `unavailable`, with the outcome `unknown` when it may be accepted all the same
   */
  async publish (
    subject: string,
    text: string,
    { timeout = this.timeout, ...options }: Partial<JetStreamPublishOptions> = {}
  ): Promise<PubAck> {
    const { js } = this
    try {
      const ack = await this.attempt(() => js.publish(subject, text, { timeout: timeout + SPARE, ...options }), timeout)
      if (!ack.duplicate || !this.isClustered) return ack
      if (await this.attempt(() => isKept(this.jsm, ack, options.msgID), timeout)) return ack
      throw away('unknown')
    } catch (error) {
      if (error instanceof Unsent) throw error
      if (error instanceof Declined) throw new Declined(error.cause, 'unknown')
      throw error instanceof Refusal ? away('unknown') : error
    }
  }

  /** Resolves when the server can be asked, at the latest after `patience` ms. */
  async back (patience: number): Promise<void> {
    if (this.#isUp || this.#isClosed) return
    await this.#pauses.wait(patience)
  }

  /**
   * Waits for a connection that broke and reconnects, or for a server that declines, and asks again, for decisions that
   * must not be made without the broker because of a short outage. Where the broker is away, or has declined for longer
   * than that, it does not wait.
   *
   * @param ask must be idempotent
   * @throws Refusal `unavailable`
   */
  async insist<T> (asking: Asking, ask: () => Promise<T>): Promise<T> {
    let breaks = 0
    return await this.#standing.insist(asking, {
      ask: async () => {
        breaks = this.#breaks
        return await ask()
      },
      canAsk: () => this.#isUp,
      isDeclined: (error) => !this.#isClosed && error instanceof Declined,
      isBlink: (error) => {
        if (this.#isClosed || !isUnavailable(error) || error instanceof Declined) return false
        // Other requests were answered while this one was waiting.
        return !this.#isUp || breaks !== this.#breaks || performance.now() - this.#answeredAt < this.timeout / 2
      }
    })
  }

  async bucket (
    name: string,
    options: BucketOptions
  ): Promise<KV> { return await this.make(() => this.#ready(this.#open)(name, options)) }

  /**
   * Makes a stream, or finds it. Of nodes that start together one makes it; the server tells another that it overlaps,
   * so that this one looks again.
   *
   * @throws Refusal `unavailable`
   */
  async make<T> (ask: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.attempt(ask)
      } catch (error) {
        if (tries === MOST_TRIES || !isOverlap(error)) throw error
      }
      await this.#pauses.wait(tries * WAIT.least)
    }
  }

  /**
   * Makes a request to the server.
   *
   * @throws Refusal `unavailable` when the server cannot be asked or does not answer
   */
  async attempt<T> (
    ask: () => Promise<T>,
    timeout = this.#options.timeout * (this.#hasStarted ? 1 : FIRST)
  ): Promise<T> {
    return await this.#request(ask, timeout, false)
  }

  /**
   * Makes a request that changes something.
   *
   * @throws Refusal `unavailable`, with the outcome `unknown` when it was sent and its answer is missing: the server
   *   keeps no deadline, so it may do it later
   */
  async change<T> (ask: () => Promise<T>): Promise<T> {
    return await this.#request(ask, this.#options.timeout * (this.#hasStarted ? 1 : FIRST), true)
  }

  async #request<T> (ask: () => Promise<T>, timeout: number, isChange: boolean): Promise<T> {
    if (!this.#isUp) throw away()
    try {
      const answer = await within(this.#unbroken(ask()), timeout)
      this.#answeredAt = performance.now()
      return answer
    } catch (error) {
      if (error instanceof Refusal) throw isChange && !isRefused(error) ? away('unknown') : error
      if (isConflict(error) || isMissing(error)) throw error
      this.#warn(error)
      if (!this.#hasStarted) throwDenied(error)
      if (isUnsent(error)) throw new Unsent(error)
      throw isAnswer(error) ? new Declined(error) : away(isChange ? 'unknown' : undefined)
    }
  }

  /** Rejects when the connection breaks before there is an answer. */
  async #unbroken<T> (answer: Promise<T>): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      const broken = (): void => { reject(new Error('the connection broke')) }
      this.#underWay.add(broken)
      answer.then(resolve, reject).finally(() => { this.#underWay.delete(broken) })
    })
  }

  /** @throws Refusal `unavailable` */
  send (subject: string, text: string): void {
    if (!this.#isUp) throw away()
    this.#connection!.publish(subject, text)
  }

  async flush (): Promise<void> { await this.attempt(() => this.#connection!.flush()) }

  /** @throws Refusal `unavailable` */
  listen (subject: string, callback: (message: Msg) => void): Subscription {
    if (!this.#isUp) throw away()
    return this.#connection!.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) return
        try {
          callback(message)
        } catch (thrown) {
          this.#options.unread.failed(thrown, subject.split('.').at(1) ?? '', message.data.length)
        }
      }
    })
  }

  /** Whether an error of the connection is about this adapter: that of an application has others of its own. */
  #isOurs (error: unknown): boolean {
    const { connection, prefix } = this.#options
    const denied = deniedBy(error)
    return connection === undefined || denied === undefined || denied.subject.includes(prefix)
  }

  #warn (error: unknown): void {
    const now = performance.now()
    const denied = deniedBy(error)
    if (this.#isClosed || now - (denied === undefined ? this.#saidAt : this.#deniedAt) < QUIET) return
    if (denied !== undefined) {
      this.#deniedAt = now
      this.#options.log.warn({ err: error }, fixOf(denied))
      return
    }
    this.#saidAt = now
    this.#options.log.warn({ err: error }, 'NATS answered with an error or could not be reached')
  }
}

export function away (outcome?: 'unknown', idempotencyKey?: string): Refusal {
  return new Refusal('unavailable', { retryAfter: 1_000, outcome, idempotencyKey })
}

/** The client has not sent a request, because the server would end the connection for it: it is too large. */
class Unsent extends Refusal {
  constructor (cause: unknown) { super('unavailable', { retryAfter: 1_000, cause }) }
}

/** Whether it is known what became of a request: the server has declined it, or was not sent it. */
function isRefused (error: Refusal): boolean { return error instanceof Declined || error instanceof Unsent }

/** The server's code for a message that is larger than a stream takes. */
const TOO_LARGE = 10_054

/** The server's code for a stream whose subjects another one has. */
const OVERLAPS = 10_065

function isOverlap (error: unknown): boolean {
  return error instanceof Declined && (error.cause as { code?: unknown } | undefined)?.code === OVERLAPS
}

/** Whether a message is too large for the server, so that it never takes it. */
export function isTooLarge (error: unknown): boolean {
  return error instanceof Unsent ||
    (error instanceof Declined && (error.cause as { code?: unknown } | undefined)?.code === TOO_LARGE)
}

/** Whether the client has refused to send a request, such as one that is too large. */
function isUnsent (error: unknown): boolean { return nameOf(error) === 'InvalidArgumentError' }

/** Codes of a conflict: the revision is another one, or another change is under way. */
const CONFLICTS: ReadonlySet<unknown> = new Set([10071, 10158, 10164])

/** Whether another node changed a key first. */
export function isConflict (error: unknown): boolean {
  return CONFLICTS.has((error as { code?: unknown }).code)
}

/** Whether the server has answered, with an error that has a number. */
function isAnswer (error: unknown): boolean { return typeof (error as { code?: unknown }).code === 'number' }

/** The client's names for the case that no stream takes a subject. */
const NOBODY = new Set(['JetStreamNotEnabled', 'NoResponders', 'NoRespondersError', 'StreamNotFoundError'])

function nameOf (error: unknown): string {
  return error instanceof Error ? error.name : ''
}

/** Whether there is no such stream: the server lost its data, the stream was deleted, or was never created. */
export function isMissing (error: unknown): boolean {
  return (error as { code?: unknown }).code === 10059 || NOBODY.has(nameOf(error)) ||
    (error instanceof Error && NOBODY.has(nameOf(error.cause)))
}

function messageOf (error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
