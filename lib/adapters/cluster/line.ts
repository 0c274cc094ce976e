import { isFields } from '../broker/stored.js'

/** The form of the batches: both ends have to speak the same one. */
export const VERSION = 2

/** What one turn of the event loop sends by a channel: one message, however many calls and events it holds. */
export interface Batch {
  /** The form; by this field an application tells such a message from its own. */
  readonly realtime: number
  /** The application that it is of, where several share their workers. */
  readonly name: string
  /** The adapter in the worker that it is of, or is for. */
  readonly tag: string
  /** Its number on its way; 0 says only which form this end speaks. */
  readonly number: number
  /** Milliseconds of the machine's monotonic clock at which it was sent, less those that a call in it had waited. */
  readonly at: number
  /** The last batch that the sender has taken. */
  readonly taken?: number
  /** The sender waits to hear that this one was taken. */
  readonly isAsking?: true
  readonly items: readonly unknown[]
}

/** Items, and characters of them, of one batch. */
const MAX_ITEMS = 500
const MAX_SIZE = 262_144
/** Characters that may be on their way; the rest waits here, where it can be told how much it is. */
const WINDOW = 1_048_576
/** Characters on their way above which the other end is asked to say what it has taken. */
const ASK = 65_536
/** Characters that an item costs beside its own. */
const ITEM = 64
/** Milliseconds by which calls of one batch may have waited longer than others: all count as made with the first. */
const SPREAD = 50

export interface LineOptions {
  readonly name: string
  readonly tag: string
  readonly post: (batch: Batch) => void
  /** Called when all that was sent has been taken. */
  readonly onEmpty?: () => void
}

/** A call that is given up some time after it was made. */
export interface Call {
  /** Called when it is sent. */
  posted (): void
  /** Milliseconds since it was made. */
  waited (): number
}

/** What was given to be sent, by which its giver takes it back. */
export interface Queued {
  item: unknown
  readonly size: number
  readonly call: Call | undefined
  /** Whether it is still to be sent. */
  isDue: boolean
}

/** Milliseconds of a clock that all processes of this machine share, and nobody sets. */
export function machineTime (): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1_000 + nanoseconds / 1_000_000
}

/** @returns `undefined` for a message of somebody else */
export function batchOf (message: unknown): Batch | undefined {
  if (!isFields(message)) return undefined
  const { realtime, name, tag, number, at, taken, isAsking, items } = message
  if (typeof realtime !== 'number' || typeof name !== 'string' || typeof tag !== 'string') return undefined
  if (typeof number !== 'number' || typeof at !== 'number' || !Array.isArray(items)) return undefined
  return {
    realtime,
    name,
    tag,
    number,
    at,
    ...(typeof taken === 'number' ? { taken } : {}),
    ...(isAsking === true ? { isAsking } : {}),
    items
  }
}

/**
 * One end of the way between a worker and its primary: sends what a turn of the event loop has gathered as one message,
 * and no more than the other end takes. What waits is in order and can be counted.
 */
export class Line {
  readonly #options: LineOptions
  #waiting: Queued[] = []
  /** Items among those that wait which were taken back: they go when there are many, or when their turn comes. */
  #withdrawn = 0
  #size = 0
  /** Numbers and sizes of batches that are on their way, the oldest first. */
  #onTheWay: Array<{ readonly number: number, readonly size: number }> = []
  #flying = 0
  #number = 0
  /** The last batch that came, and whether its sender has to be told. */
  #taken = 0
  #isOwed = false
  /** The other end has to be asked, whatever is on the way. */
  #isCurious = false
  /** Each batch asks until the other end has taken all, since a batch that does not ask may be the last for long. */
  #isFollowed = false
  #next: NodeJS.Immediate | undefined
  #isClosed = false

  constructor (options: LineOptions) {
    this.#options = options
  }

  /** Characters that wait to be sent. */
  get size (): number { return this.#size }

  /** Items that wait to be sent. */
  get length (): number { return this.#waiting.length - this.#withdrawn }

  /**
   * Sends an item with the others of this turn.
   *
   * @param size in characters, about
   */
  push (item: unknown, size: number, call?: Call): Queued {
    const queued = { item, size: size + ITEM, call, isDue: !this.#isClosed }
    if (this.#isClosed) return queued
    this.#waiting.push(queued)
    this.#size += queued.size
    this.#later()
    return queued
  }

  /** Takes one item back, unless it was sent. Many of them cost no more than one look at each of those that wait. */
  withdraw (queued: Queued): void {
    if (!queued.isDue || this.#isClosed) return
    queued.isDue = false
    queued.item = undefined
    this.#size -= queued.size
    this.#withdrawn++
    if (this.#withdrawn * 2 < this.#waiting.length) return
    this.#waiting = this.#waiting.filter(({ isDue }) => isDue)
    this.#withdrawn = 0
  }

  /**
   * Takes out what waits and is not `isKept`, and asks the other end to say when it has taken the rest.
   *
   * @returns how many items were taken out
   */
  drop (isKept: (item: unknown) => boolean): number {
    const before = this.length
    this.#waiting = this.#waiting.filter((queued) => {
      if (queued.isDue && !isKept(queued.item)) queued.isDue = false
      return queued.isDue
    })
    this.#withdrawn = 0
    this.#size = this.#waiting.reduce((sum, { size }) => sum + size, 0)
    this.#isCurious = this.#onTheWay.length > 0
    this.#isFollowed = true
    this.#later()
    return before - this.#waiting.length
  }

  /** Notes that a batch has come. */
  received ({ number, taken, isAsking }: Batch): void {
    this.#taken = Math.max(this.#taken, number)
    if (isAsking === true) {
      this.#isOwed = true
      this.#later()
    }
    if (taken === undefined) return
    while (this.#onTheWay.length > 0 && this.#onTheWay[0]!.number <= taken) this.#flying -= this.#onTheWay.shift()!.size
    if (this.#waiting.length > 0) this.#later()
    else if (this.#onTheWay.length === 0) this.#emptied()
  }

  /** Sends at once what waits, as far as one message holds it and the other end takes it. */
  flush (): void {
    clearImmediate(this.#next)
    this.#next = undefined
    if (this.#isClosed) return
    if ((this.#waiting.length > 0 && this.#flying < WINDOW) || this.#isOwed || this.#isCurious) this.#post()
    if (this.#waiting.length > 0 && this.#flying < WINDOW) this.#later()
    if (this.#waiting.length === 0 && this.#onTheWay.length === 0) this.#emptied()
  }

  close (): void {
    this.#isClosed = true
    clearImmediate(this.#next)
    this.#waiting = []
    this.#withdrawn = 0
    this.#size = 0
  }

  #emptied (): void {
    this.#isFollowed = false
    this.#options.onEmpty?.()
  }

  #later (): void {
    if (!this.#isClosed) this.#next ??= setImmediate(() => { this.flush() })
  }

  #post (): void {
    const { name, tag, post } = this.#options
    const items: unknown[] = []
    let [taken, size] = [0, 0]
    let longest: number | undefined
    while (taken < this.#waiting.length && items.length < MAX_ITEMS && size < MAX_SIZE && this.#flying < WINDOW) {
      const queued = this.#waiting[taken]!
      const waited = queued.isDue ? queued.call?.waited() : undefined
      if (waited !== undefined && (longest ??= waited) - waited > SPREAD) break
      taken++
      if (!queued.isDue) {
        this.#withdrawn--
        continue
      }
      queued.isDue = false
      this.#size -= queued.size
      queued.call?.posted()
      items.push(queued.item)
      // Its giver may hold on to its place until there is an answer.
      queued.item = undefined
      size += queued.size
    }
    this.#waiting.splice(0, taken)
    if (items.length === 0 && !this.#isOwed && !this.#isCurious) return
    const number = ++this.#number
    if (size > 0) this.#onTheWay.push({ number, size })
    this.#flying += size
    const isAsking = this.#isCurious || this.#isFollowed || this.#flying > ASK || this.#waiting.length > 0
    this.#isOwed = false
    this.#isCurious = false
    post({
      realtime: VERSION,
      name,
      tag,
      number,
      at: machineTime() - (longest ?? 0),
      taken: this.#taken,
      ...(isAsking ? { isAsking } : {}),
      items
    })
  }
}
