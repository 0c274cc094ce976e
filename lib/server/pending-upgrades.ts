import type { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { DeadlineQueue } from '../structures/deadline-queue.js'

/** What is needed to complete an upgrade. */
export interface Upgrade { readonly socket: Duplex, readonly head: Buffer }

/** An upgrade, from the server's event to its completion, its refusal or the end of its socket. */
export interface PendingUpgrade extends Upgrade {
  readonly raw: object
  readonly address: string | undefined
  /** `bytesWritten` at the start, absent on the streams of `injectWS`. */
  readonly written: number | undefined
  /**
   * The response that @fastify/websocket assigned to the socket, or the answer to an earlier request on it that is
   * still being written.
   */
  response: ServerResponse | undefined
  /** Removes the guard's listeners from the socket. */
  release: () => void
}

/** Returns the response that is being written on a socket. */
export function responseOf (socket: Duplex): ServerResponse | undefined {
  // This is Node's own link from a socket to the response being written on it; there is no public one.
  return (socket as { _httpMessage?: ServerResponse | null })._httpMessage ?? undefined
}

export function writtenTo (socket: Duplex): number | undefined {
  return (socket as { bytesWritten?: number }).bytesWritten
}

/**
 * Whether nothing of an answer has been written, by any code, and the next thing to be written would be the answer to
 * this upgrade.
 */
export function isUnanswered ({ raw, socket, written, response }: PendingUpgrade): boolean {
  return (response === undefined || (response.req === raw && !response.headersSent)) && writtenTo(socket) === written
}

/** Whether other code has completed the upgrade without telling the guard. */
export function isTakenOver ({ raw, socket, written, response }: PendingUpgrade): boolean {
  return response?.req === raw && !response.headersSent && !socket.writableEnded && writtenTo(socket) !== written
}

/** Keeps the upgrades that outlive their event, counted in total and by address, each with its deadline. */
export class PendingUpgrades {
  readonly #waiting: DeadlineQueue<PendingUpgrade>
  readonly #byRequest = new WeakMap<object, PendingUpgrade>()
  readonly #ofAddress = new Map<string, number>()
  /** Called when the last one is over. */
  onEmpty: (() => void) | undefined

  /** @param onLate called for an upgrade that is neither completed nor refused after `deadline` milliseconds */
  constructor (deadline: number, onLate: (entry: PendingUpgrade) => void) {
    this.#waiting = new DeadlineQueue<PendingUpgrade>(deadline, onLate)
  }

  get size (): number { return this.#waiting.size }
  get (raw: object): PendingUpgrade | undefined { return this.#byRequest.get(raw) }
  countOf (address: string): number { return this.#ofAddress.get(address) ?? 0 }
  items (): Iterable<PendingUpgrade> { return this.#waiting.items() }

  /**
   * Adds an upgrade once its event is over, since most are completed within it and no event of a socket comes in the
   * middle of a turn.
   */
  add (entry: PendingUpgrade): void {
    const { raw, socket, address } = entry
    const onError = (): void => { socket.destroy() }
    const onClose = (): void => { this.delete(entry) }
    // A peer that has ended its side cannot become a WebSocket any more; without this it would hold its place until the
    // hooks are done.
    const onEnd = (): void => { if (isUnanswered(entry)) socket.destroy() }
    socket.on('error', onError)
    socket.once('close', onClose)
    socket.once('end', onEnd)
    entry.release = () => {
      socket.off('error', onError)
      socket.off('close', onClose)
      socket.off('end', onEnd)
    }
    this.#byRequest.set(raw, entry)
    this.#waiting.add(entry)
    if (address !== undefined) this.#ofAddress.set(address, this.countOf(address) + 1)
  }

  delete (entry: PendingUpgrade): void {
    const { raw, address } = entry
    entry.release()
    if (this.#byRequest.get(raw) === entry) this.#byRequest.delete(raw)
    this.#waiting.delete(entry)
    if (address !== undefined) {
      const left = (this.#ofAddress.get(address) ?? 1) - 1
      if (left === 0) this.#ofAddress.delete(address)
      else this.#ofAddress.set(address, left)
    }
    if (this.#waiting.size === 0) this.onEmpty?.()
  }

  stop (): void {
    for (const entry of this.#waiting.items()) {
      this.delete(entry)
      entry.socket.destroy()
    }
    this.#waiting.stop()
  }
}
