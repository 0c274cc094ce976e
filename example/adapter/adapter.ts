import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import {
  encodeEvent, Refusal, type Adapter, type AdapterHost, type Control, type ControlMessage, type EventHead,
  type Publication, type Published
} from 'fastify-realtime/adapter'
import { onLine } from './lines.js'

/** One line between nodes. */
interface Line {
  readonly from: string
  readonly id: number
  readonly event?: { readonly head: EventHead, readonly data: string }
  readonly control?: ControlMessage
}

/** Milliseconds until a node that has lost the relay tries again. */
const AGAIN = 500

/**
 * Nodes that hear each other through a relay. Events are live only: there is no history, so nothing is resumed, and
 * capabilities that need a memory shared by all nodes (limits, presence, revocations) are absent, not pretended.
 */
class RelayAdapter implements Adapter {
  readonly name = 'relay'
  readonly control: Control = { send: async (control) => { await this.#tell({ control }) } }
  readonly #port: number
  readonly #rooms = new Set<string>()
  /** lines of this node that have not come back */
  readonly #waiting = new Map<number, { done: (recipients: number) => void, failed: (error: Error) => void }>()
  #host!: AdapterHost
  #socket: Socket | undefined
  #retry: NodeJS.Timeout | undefined
  #count = 0

  constructor (port: number) { this.#port = port }

  async start (host: AdapterHost): Promise<void> {
    this.#host = host
    const socket = this.#connect()
    await once(socket, 'connect')
  }

  async close (): Promise<void> {
    clearTimeout(this.#retry)
    this.#socket?.removeAllListeners('close').destroy()
    this.#lost()
  }

  subscribe (room: string): undefined { this.#rooms.add(room) }
  unsubscribe (room: string): void { this.#rooms.delete(room) }

  /** Resolves when the line has come back: it then has its place in the order of all. */
  async publish (room: string, publication: Publication): Promise<Published> {
    const { type, delivery, timestamp, key, except, ack, data } = publication
    const head = { type, room, delivery, timestamp, key, except, ack }
    return { recipients: await this.#tell({ event: { head, data } }) }
  }

  #connect (): Socket {
    const socket = connect(this.#port)
    this.#socket = socket
    socket.on('error', () => { socket.destroy() })
    socket.on('connect', () => { void this.#host.state(true) })
    socket.on('close', () => {
      this.#lost()
      void this.#host.state(false)
      this.#retry = setTimeout(() => { this.#connect() }, AGAIN).unref()
    })
    onLine(socket, (line) => { void this.#heard(JSON.parse(line) as Line) })
    return socket
  }

  async #tell (line: Pick<Line, 'event' | 'control'>): Promise<number> {
    if (this.#socket?.readyState !== 'open') throw new Refusal('unavailable')
    const id = ++this.#count
    this.#socket.write(`${JSON.stringify({ from: this.#host.nodeId, id, ...line })}\n`)
    return await new Promise((resolve, reject) => { this.#waiting.set(id, { done: resolve, failed: reject }) })
  }

  async #heard ({ from, id, event, control }: Line): Promise<void> {
    const own = from === this.#host.nodeId ? this.#waiting.get(id) : undefined
    this.#waiting.delete(own === undefined ? 0 : id)
    if (control !== undefined && own === undefined) this.#host.control(control, from)
    const isWanted = event !== undefined && this.#rooms.has(event.head.room)
    own?.done(isWanted ? await this.#host.event(event.head.room, encodeEvent(event.head, event.data)) : 0)
    if (own === undefined && isWanted) await this.#host.event(event.head.room, encodeEvent(event.head, event.data))
  }

  /** Nobody knows what the relay has passed on of what did not come back. */
  #lost (): void {
    for (const { failed } of this.#waiting.values()) failed(new Refusal('unavailable', { outcome: 'unknown' }))
    this.#waiting.clear()
  }
}

/** @param port of a relay on this machine */
export function relay (port: number): Adapter { return new RelayAdapter(port) }
