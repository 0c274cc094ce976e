import type { Packet } from '../protocol/packet.js'
import { keyOf } from '../protocol/key.js'

/** What a `latest` value replaces the older one of. */
function valueOf ({ event }: Packet): string | undefined {
  return event?.delivery === 'latest' && event.key !== undefined ? keyOf(event.room, event.type, event.key) : undefined
}

/** Places without a packet that are not worth a pass over the queue. */
const ROOM_FOR_HOLES = 64

/**
 * What waits for a link that lags: a queue in order, thinned out by delivery class. A newer `latest` event removes the
 * older one of its key and is appended at the end; a `volatile` one is not taken at all.
 */
export class Backlog {
  #packets: Array<Packet | undefined> = []
  #head = 0
  #latest: Map<string, number> | undefined
  bytes = 0
  /** events in it */
  events = 0
  count = 0

  /** places of the queue, holes included: at most twice the packets and 64 more */
  get places (): number { return this.#packets.length }

  /** @returns what became of the pair: kept, or kept at the cost of an older value */
  push (packet: Packet): 'kept' | 'conflated' {
    let outcome: 'kept' | 'conflated' = 'kept'
    // Values of one key that replace each other leave holes, and nothing is shifted while the link stands still.
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

  /** Forgets holes, and the keys of packets that have left. */
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
