import { roomName } from '../shared/population.js'
import { nodeEvent, type NodePeer } from './peer.js'
import type { Place, Saturation, Trickle } from './messages.js'

/** Milliseconds without an arrival after which events are lost rather than late. */
const PATIENCE = 5_000
/**
 * No common factor with the number of rooms, so that every node publishes into every room, and not all into the same at
 * a time.
 */
const STRIDE = 7
const APART = 25

/** Publishes from inside a node's process, as routes and jobs of an application do. */
export class Pace {
  readonly #peer: NodePeer
  #next = 0
  #isUnderWay = 0
  #lastArrival = 0
  #refill: (() => void) | undefined
  #failure: Error | undefined

  constructor (peer: NodePeer) {
    this.#peer = peer
  }

  arrived (events: number): void {
    this.#isUnderWay -= events
    this.#lastArrival = performance.now()
    this.#refill?.()
  }

  #publish ({ index, rooms }: Place): void {
    const room = roomName((index * APART + this.#next++ * STRIDE) % rooms)
    Promise.resolve(this.#peer.broadcast(room, nodeEvent(index))).catch((error: Error) => { this.#failure ??= error })
  }

  async saturate ({ window, ms, ...place }: Saturation): Promise<number> {
    let published = 0
    this.#isUnderWay = 0
    this.#lastArrival = performance.now()
    const end = performance.now() + ms
    await new Promise<void>((resolve, reject) => {
      const over = setTimeout(() => { settle() }, ms)
      const watch = setInterval(() => {
        if (performance.now() - this.#lastArrival > PATIENCE) settle(new Error('events do not arrive'))
      }, PATIENCE / 10)
      const settle = (error = this.#failure): void => {
        this.#refill = undefined
        clearTimeout(over)
        clearInterval(watch)
        if (error === undefined) resolve()
        else reject(error)
      }
      this.#refill = (): void => {
        if (performance.now() >= end) return
        for (; this.#isUnderWay < window; this.#isUnderWay++, published++) this.#publish(place)
      }
      this.#refill()
    })
    return published
  }

  async trickle ({ perSecond, ms, ...place }: Trickle): Promise<number> {
    const start = performance.now()
    const total = Math.floor(perSecond * ms / 1_000)
    const interval = 1_000 / perSecond
    let published = 0
    await new Promise<void>((resolve) => {
      const tick = (): void => {
        const due = Math.min(total, Math.floor((performance.now() - start) / interval))
        for (; published < due; published++) this.#publish(place)
        if (published === total) resolve()
        else setTimeout(tick, Math.max(1, start + (published + 1) * interval - performance.now()))
      }
      tick()
    })
    if (this.#failure !== undefined) throw this.#failure
    return published
  }
}
