import type { Packet } from '../protocol/packet.js'
import { gatherParts } from '../protocol/part-frames.js'
import type { Part } from '../protocol/part.js'
import { keyOf } from '../protocol/key.js'

/** Key of a `latest` value: a newer value of the same key replaces it. */
function valueOf ({ event }: Packet): string | undefined {
  return event?.delivery === 'latest' && event.key !== undefined ? keyOf(event.room, event.type, event.key) : undefined
}

/** Holes in the queue for which compacting it is not worth a pass. */
const ROOM_FOR_HOLES = 64

/**
 * The queue of a link that lags, in order and thinned out by delivery class. A newer `latest` event removes the older
 * one of its key and is appended at the end. The queue leaves in rounds: what is in it when the first packets leave is
 * not replaced any more, and newer values follow in the next round, so that on a slow link each key has its turn.
 * Stretches of one text become one; a `volatile` event is not queued at all.
 */
export class Backlog {
  #packets: Array<Packet | undefined> = []
  #head = 0
  #latest: Map<string, number> | undefined
  /** Place behind the values that are being sent: they are not replaced, since those behind them would never leave. */
  #round = 0
  /** Stretches of texts that wait, by the first of each run, and the first one of the newest run of each text. */
  #runs: Map<Packet, Packet[]> | undefined
  #newest: Map<string, Packet> | undefined
  bytes = 0
  /** Events in the queue. */
  events = 0
  count = 0
  /** Bytes of one of them that is larger than all may be that waits, as its owner has found. */
  larger = 0

  /** Places of the queue, holes included: at most twice the packets and 64 more. */
  get places (): number { return this.#packets.length }

  /** @returns whether the packet was queued, or was queued and has replaced an older value */
  push (packet: Packet): 'kept' | 'conflated' {
    let outcome: 'kept' | 'conflated' = 'kept'
    // Values of one key that replace each other leave holes, and while the link stands still no packet is shifted.
    if (this.#packets.length > 2 * this.count + ROOM_FOR_HOLES) this.#compact()
    if (packet.event?.part !== undefined && this.#join(packet, packet.event.part)) return 'conflated'
    packet.detach()
    const key = valueOf(packet)
    if (key !== undefined) {
      this.#latest ??= new Map()
      const older = this.#latest.get(key)
      if (older !== undefined && this.#packets[older] !== undefined) {
        this.#take(older)
        outcome = 'conflated'
      }
      this.#latest.set(key, this.#packets.length)
    }
    this.#packets.push(packet)
    this.bytes += packet.bytes.length
    this.count++
    if (packet.event !== undefined) this.events++
    return outcome
  }

  /**
   * Joins a stretch with those of its text that wait, at the place of the first of them.
   *
   * @returns whether it continues the last of them
   */
  #join (packet: Packet, { begun, from, inside }: Part): boolean {
    const runs = this.#runs ??= new Map()
    const newest = this.#newest ??= new Map()
    const text = keyOf(packet.room!, String(begun))
    const run = runs.get(newest.get(text)!)
    if (run?.at(-1)!.event!.part!.to !== from) {
      runs.set(packet, [packet])
      newest.set(text, packet)
      return false
    }
    run.push(packet)
    this.bytes += inside.length
    return true
  }

  /** Takes the stretches that wait at the place of the first of them, as one frame. */
  #joined (packet: Packet, { begun }: Part): Packet {
    const run = this.#runs!.get(packet)!
    const text = keyOf(packet.room!, String(begun))
    this.#runs!.delete(packet)
    if (this.#newest!.get(text) === packet) this.#newest!.delete(text)
    this.bytes -= run.reduce((sum, { event }) => sum + event!.part!.inside.length, -packet.event!.part!.inside.length)
    return gatherParts(run)
  }

  /** Removes the holes, and the keys of packets that have left. */
  #compact (): void {
    const round = this.#packets.slice(0, this.#round).filter((packet) => packet !== undefined).length
    this.#packets = this.#packets.filter((packet) => packet !== undefined)
    this.#head = 0
    this.#round = round
    if (this.#latest === undefined) return
    this.#latest.clear()
    for (const [index, packet] of this.#packets.entries()) {
      const key = index < round ? undefined : valueOf(packet!)
      if (key !== undefined) this.#latest.set(key, index)
    }
  }

  /** Removes the oldest packets, up to `bytes` together but at least one. */
  shift (bytes: number): Packet[] {
    if (this.#head >= this.#round) {
      this.#round = this.#packets.length
      this.#latest?.clear()
    }
    const taken: Packet[] = []
    let size = 0
    while (this.#head < this.#packets.length) {
      const packet = this.#packets[this.#head]
      if (packet !== undefined) {
        if (taken.length > 0 && size + packet.bytes.length > bytes) break
        size += packet.bytes.length
        taken.push(this.#take(this.#head))
      }
      this.#head++
    }
    return taken
  }

  #take (index: number): Packet {
    const packet = this.#packets[index]!
    this.#packets[index] = undefined
    this.bytes -= packet.bytes.length
    this.count--
    if (packet.event !== undefined) this.events--
    return packet.event?.part === undefined ? packet : this.#joined(packet, packet.event.part)
  }
}
