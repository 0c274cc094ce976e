import type { Packet } from '../protocol/packet.js'
import { isPaced } from './pace.js'
import { keyOf } from '../protocol/key.js'
import { detached, pooled } from '../protocol/websocket-frame.js'
import type { Compressor } from './compressor.js'

/**
 * A sequence of packets, kept as a node in a trie of the sequences that wait in one turn. Connections that wait for the
 * same frames point to the same node, and its bytes are joined once for all of them.
 */
export class Batch {
  readonly #parent: Batch | undefined
  readonly #packet: Packet | undefined
  /** Bytes of the frames in their WebSocket form. */
  readonly size: number
  readonly count: number
  /** Events among the packets that are offered live. */
  readonly live: number
  /** Events among the packets that are offered by replay. */
  readonly replayed: number
  /** `latest` and `append` events among the packets: what is paced. */
  readonly latest: number
  #next: Packet | undefined
  #child: Batch | undefined
  #others: Map<Packet, Batch> | undefined
  #bytes: Buffer | undefined
  #compressed: Uint8Array | undefined
  #newest: Batch | undefined
  #packets: readonly Packet[] | undefined

  constructor (parent?: Batch, packet?: Packet) {
    this.#parent = parent
    this.#packet = packet
    const isEvent = packet?.event === undefined ? 0 : 1
    this.size = (parent?.size ?? 0) + (packet?.bytes.length ?? 0)
    this.count = packet === undefined ? 0 : parent!.count + 1
    this.live = (parent?.live ?? 0) + (packet?.isReplay === true ? 0 : isEvent)
    this.replayed = (parent?.replayed ?? 0) + (packet?.isReplay === true ? isEvent : 0)
    this.latest = (parent?.latest ?? 0) + (isPaced(packet) ? 1 : 0)
  }

  /** Returns this sequence with one more packet. Every caller that adds the same packet gets the same node. */
  add (packet: Packet): Batch {
    if (this.#next === packet) return this.#child!
    if (this.#next === undefined) {
      this.#next = packet
      this.#child = new Batch(this, packet)
      return this.#child
    }
    this.#others ??= new Map()
    let child = this.#others.get(packet)
    if (child === undefined) {
      child = new Batch(this, packet)
      this.#others.set(packet, child)
    }
    return child
  }

  /** Whether no longer sequence has been made of this one. */
  get isLeaf (): boolean { return this.#next === undefined }

  /** Lets go of the longer sequences that were made of this one; what waits leads to its beginning, not to its end. */
  cut (): void { this.#next = this.#child = this.#others = undefined }

  /** All frames as one write. */
  get bytes (): Uint8Array {
    if (this.count === 1) return this.#packet!.bytes
    if (this.#bytes === undefined) {
      this.#bytes = pooled(this.size)
      let end = this.size
      for (let node: Batch = this; node.#packet !== undefined; node = node.#parent!) {
        end -= node.#packet.bytes.length
        this.#bytes.set(node.#packet.bytes, end)
      }
    }
    return this.#bytes
  }

  /** Gives the frames memory of their own, because a link will not write them at once. */
  detach (): void {
    if (this.count === 1) this.#packet!.detach()
    else if (this.#bytes !== undefined) this.#bytes = detached(this.#bytes)
  }

  /**
   * All frames as one write, each compressed where that is worth it; a promise while one of them is still being
   * compressed.
   */
  compressed (compressor: Compressor): Uint8Array | Promise<unknown> {
    if (this.#compressed !== undefined) return this.#compressed
    const parts: Uint8Array[] = []
    const pending: Array<Promise<void>> = []
    for (const packet of this.packets) {
      const made = compressor.get(packet)
      if (made instanceof Promise) pending.push(made)
      else parts.push(made)
    }
    if (pending.length > 0) return Promise.all(pending)
    this.#compressed = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    return this.#compressed
  }

  /**
   * This sequence with only the newest value of each key. It is computed once for all connections that wait for the
   * same frames.
   */
  get newest (): Batch {
    if (this.#newest !== undefined) return this.#newest
    const seen = new Set<string>()
    const kept: Packet[] = []
    for (const packet of this.packets.toReversed()) {
      const { event } = packet
      if (event?.delivery === 'latest' && event.key !== undefined) {
        const key = keyOf(event.room, event.type, event.key)
        if (seen.has(key)) continue
        seen.add(key)
      }
      kept.push(packet)
    }
    let newest = new Batch()
    for (const packet of kept.reverse()) newest = newest.add(packet)
    this.#newest = kept.length === this.count ? this : newest
    return this.#newest
  }

  /** The packets, oldest first. */
  get packets (): readonly Packet[] {
    if (this.#packets !== undefined) return this.#packets
    const packets: Packet[] = []
    for (let node: Batch = this; node.#packet !== undefined; node = node.#parent!) packets.push(node.#packet)
    this.#packets = packets.reverse()
    return this.#packets
  }
}
