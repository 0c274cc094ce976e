import type { Packet } from '../protocol/packet.js'
import { keyOf } from '../protocol/key.js'

/** Key of a `latest` value: a newer value of the same key replaces it. */
function valueOf ({ event }: Packet): string | undefined {
  return event?.delivery === 'latest' && event.key !== undefined ? keyOf(event.room, event.type, event.key) : undefined
}

/** Holes in the queue for which compacting it is not worth a pass. */
const ROOM_FOR_HOLES = 64

/**
 * The queue of a link that lags, in order and thinned out by delivery class. A newer `latest` event removes the older
 * one of its key and is appended at the end; a `volatile` event is not queued at all.
 */
export class Backlog {
  #packets: Array<Packet | undefined> = []
  #head = 0
  #latest: Map<string, number> | undefined
  bytes = 0
  /** Events in the queue. */
  events = 0
  count = 0

  /** Places of the queue, holes included: at most twice the packets and 64 more. */
  get places (): number { return this.#packets.length }

  /** @returns whether the packet was queued, or was queued and has replaced an older value */
  push (packet: Packet): 'kept' | 'conflated' {
    let outcome: 'kept' | 'conflated' = 'kept'
    // Values of one key that replace each other leave holes, and while the link stands still no packet is shifted.
    if (this.#packets.length > 2 * this.count + ROOM_FOR_HOLES) this.#compact()
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

  /** Removes the holes, and the keys of packets that have left. */
  #compact (): void {
    this.#packets = this.#packets.filter((packet) => packet !== undefined)
    this.#head = 0
    if (this.#latest === undefined) return
    this.#latest.clear()
    for (const [index, packet] of this.#packets.entries()) {
      const key = valueOf(packet!)
      if (key !== undefined) this.#latest.set(key, index)
    }
  }

  /** Removes the oldest packets, up to `bytes` together but at least one. */
  shift (bytes: number): Packet[] {
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
    return packet
  }
}
