import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { Transform, type TransformCallback } from 'node:stream'
import type { Teardown } from './servers.js'

/** Bytes that a slow link passes at a time. */
const PIECE = 2_048

/** One direction of a link: as fast as it is given, at a rate, or shut. */
class Brake extends Transform {
  readonly #rate: () => number
  #timer: NodeJS.Timeout | undefined
  #waiting: (() => void) | undefined
  #isShut = false

  /** @param rate bytes a second, asked for each piece */
  constructor (rate: () => number) {
    super()
    this.#rate = rate
  }

  shut (): void { this.#isShut = true }

  open (): void {
    this.#isShut = false
    this.#waiting?.()
    this.#waiting = undefined
  }

  override _transform (chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (this.#isShut) {
      this.#waiting = () => { this._transform(chunk, _encoding, done) }
      return
    }
    const rate = this.#rate()
    if (rate === Infinity) {
      done(null, chunk)
      return
    }
    const piece = chunk.subarray(0, PIECE)
    this.#timer = setTimeout(() => {
      this.push(piece)
      if (chunk.length > PIECE) this._transform(chunk.subarray(PIECE), _encoding, done)
      else done()
    }, piece.length / rate * 1_000)
  }

  override _destroy (error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#timer)
    this.#waiting = undefined
    done(error)
  }
}

interface Pair {
  readonly down: Socket
  readonly up: Socket
  readonly upward: Brake
  readonly downward: Brake
  isHeld: boolean
}

/** A TCP proxy whose links fail as real ones do: cut, stalled, or dead without a word. */
export class FaultProxy {
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  readonly #timers = new Set<NodeJS.Timeout>()
  /** port that it leads to; several take turns */
  target: number | readonly number[]
  #turn = 0
  /** no link is let through: what comes is cut at once */
  isDown = false
  /** bytes a second that each link passes in each direction */
  rate = Infinity
  cuts = 0
  /** bytes that came back from the target, over all links */
  received = 0

  constructor (target: number | readonly number[]) {
    this.target = target
    this.#server = createServer((down) => { this.#accept(down) })
  }

  async listen (): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  get size (): number { return this.#pairs.size }

  #accept (down: Socket): void {
    down.on('error', () => undefined)
    if (this.isDown) {
      down.resetAndDestroy()
      return
    }
    const targets = [this.target].flat()
    const up = connect(targets[this.#turn++ % targets.length]!, '127.0.0.1')
    const [upward, downward] = [new Brake(() => this.rate), new Brake(() => this.rate)]
    const pair: Pair = { down, up, upward, downward, isHeld: false }
    this.#pairs.add(pair)
    up.on('error', () => undefined)
    down.pipe(upward).pipe(up)
    up.on('data', ({ length }: Buffer) => { this.received += length })
    up.pipe(downward).pipe(down)
    const gone = (): void => {
      this.#pairs.delete(pair)
      for (const stream of [down, up, upward, downward]) stream.destroy()
    }
    down.on('close', gone)
    up.on('close', gone)
  }

  /** Some of the links: all, or the one that `random` (0 to 1) points at. */
  #pick (random?: number): Pair[] {
    const all = [...this.#pairs]
    return random === undefined ? all : all.slice(Math.floor(random * all.length)).slice(0, 1)
  }

  /** Links through which nothing passes from now on; those that are held already stay as they are. */
  #hold (random?: number): Pair[] {
    const free = this.#pick(random).filter(({ isHeld }) => !isHeld)
    for (const pair of free) {
      pair.isHeld = true
      pair.down.unpipe(pair.upward)
      pair.up.unpipe(pair.downward)
    }
    return free
  }

  /** Ends links with RST, in the middle of whatever they carry. */
  cut (random?: number): void {
    for (const { down, up } of this.#pick(random)) {
      this.cuts++
      down.resetAndDestroy()
      up.resetAndDestroy()
    }
  }

  /** Nothing passes for a time, in both directions; then everything does. */
  stall (random: number | undefined, milliseconds: number): void {
    for (const pair of this.#hold(random)) {
      const { down, up, upward, downward } = pair
      this.#later(milliseconds, () => {
        pair.isHeld = false
        down.pipe(upward)
        up.pipe(downward)
      })
    }
  }

  /** Nothing passes in one direction for a time, on the links that there are; then all of it does. */
  shut (direction: 'upward' | 'downward', milliseconds: number): void {
    for (const { [direction]: brake } of this.#pairs) {
      brake.shut()
      this.#later(milliseconds, () => { brake.open() })
    }
  }

  /** Both ends believe in the link, and nothing passes any more. It is forgotten after a time, as a router does. */
  kill (random: number | undefined, milliseconds: number): void {
    for (const { down, up } of this.#hold(random)) {
      down.resume()
      up.resume()
      this.#later(milliseconds, () => {
        down.destroy()
        up.destroy()
      })
    }
  }

  #later (milliseconds: number, callback: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      callback()
    }, milliseconds)
    this.#timers.add(timer)
  }

  async close (): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#server.close()
    for (const { down, up } of this.#pairs) {
      down.destroy()
      up.destroy()
    }
    await once(this.#server, 'close')
  }
}

/** A proxy that is closed with the test, and the port on which it listens. */
export async function proxyTo (
  t: Teardown,
  target: number | readonly number[]
): Promise<{ readonly proxy: FaultProxy, readonly port: number }> {
  const proxy = new FaultProxy(target)
  const port = await proxy.listen()
  t.teardown(async () => { await proxy.close() })
  return { proxy, port }
}
