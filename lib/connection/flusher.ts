import type { Packet } from '../protocol/packet.js'
import { after } from '../structures/timers.js'
import { Batch } from './batch.js'

export interface Flushable {
  /** Whether a flush would write. */
  readonly isReady?: boolean
  flush (): void
}

/** Milliseconds that one slice of writes may keep the event loop. */
const SLICE = 3
const CHECK_EVERY = 32
/** Number of outboxes that are touched together. */
const AHEAD = 32

/**
 * Touches the next outboxes of a list before they are flushed. From an outbox a chain of objects leads to its socket,
 * and with thousands of connections none of them is in a cache of the processor. In a loop as short as this one the
 * processor waits for several chains at once; in the long loop of the writes it would wait for one after the other. The
 * gain is measured in bench/RESULTS.md.
 */
function lookAhead (due: readonly Flushable[], from: number): number {
  const end = Math.min(from + AHEAD, due.length)
  let ready = 0
  for (let i = from; i < end; i++) if (due[i]!.isReady === true) ready++
  return ready
}

/**
 * Writes at the end of a turn of the event loop what was queued in it, so that frames from different sockets merge into
 * one write per connection; a microtask would run between the sockets. Very large fan-outs yield between slices; the
 * order within each connection stays.
 */
export class Flusher {
  /**
   * Number of outboxes touched last that could write. Without a result that is kept, the compiler would remove most of
   * the loop in `lookAhead`.
   */
  reachable = 0
  /** Root of this turn's sequences. */
  #root = new Batch()
  /** Root of the sequences that wait for a window. */
  readonly #gathered = new Batch()
  /** Those of them that were made longer in this turn, and in the one before. */
  #grown: Batch[] = []
  #grownBefore: Batch[] = []
  #due: Flushable[] = []
  #isArmed = false
  readonly #windows = new Map<number, { readonly due: Set<Flushable>, timer: NodeJS.Timeout }>()

  /** Flushes at the end of this turn. */
  soon (outbox: Flushable): void {
    this.#due.push(outbox)
    this.#arm()
  }

  /**
   * Returns the sequence of this turn that begins with a packet. It ends with the turn, also where nothing is flushed
   * at its end because each frame was large enough to leave at once: nobody would let go of those frames.
   */
  begin (packet: Packet): Batch {
    this.#arm()
    return this.#root.add(packet)
  }

  /**
   * Adds a packet to a sequence that waits for a window. It may wait for a minute, so what others have made of it is
   * cut off: their frames have long left. That is done one turn later than it could be, because members of a large room
   * with the same frames may be offered the next one in two turns, and are to share it all the same.
   */
  gather (packet: Packet, batch: Batch = this.#gathered): Batch {
    if (batch.isLeaf) {
      this.#grown.push(batch)
      this.#arm()
    }
    return batch.add(packet)
  }

  #cut (): void {
    for (const batch of this.#grownBefore) batch.cut()
    this.#grownBefore = this.#grown
    this.#grown = []
    if (this.#grownBefore.length > 0) this.#arm()
  }

  #arm (): void {
    if (this.#isArmed) return
    this.#isArmed = true
    setImmediate(this.#run)
  }

  /**
   * Flushes together with all others of the same window, at most `ms` milliseconds from now. An outbox that was flushed
   * before its window ended may come into it again.
   */
  later (outbox: Flushable, ms: number): void {
    const window = this.#windows.get(ms)
    if (window !== undefined) {
      window.due.add(outbox)
      return
    }
    const due = new Set([outbox])
    const timer = after(() => {
      this.#windows.delete(ms)
      for (const each of due) this.soon(each)
    }, ms)
    this.#windows.set(ms, { due, timer })
  }

  readonly #run = (): void => {
    const due = this.#due
    this.#due = []
    this.#isArmed = false
    this.#root = new Batch()
    if (this.#grown.length > 0 || this.#grownBefore.length > 0) this.#cut()
    const end = performance.now() + SLICE
    for (let i = 0; i < due.length; i++) {
      if (i % AHEAD === 0) this.reachable = lookAhead(due, i)
      due[i]!.flush()
      if (i % CHECK_EVERY === CHECK_EVERY - 1 && performance.now() > end && i + 1 < due.length) {
        // Outboxes that were queued meanwhile wait behind the rest. The order among connections does not matter, and
        // each keeps the order within itself.
        this.#due = due.slice(i + 1).concat(this.#due)
        this.#arm()
        return
      }
    }
  }

  close (): void {
    for (const { timer, due } of this.#windows.values()) {
      clearTimeout(timer)
      for (const each of due) each.flush()
    }
    this.#windows.clear()
  }
}
