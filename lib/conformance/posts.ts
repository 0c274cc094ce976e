import type { IncomingMessage, ServerResponse } from 'node:http'
import { FrameQueue, type Frame } from '../testing/frame-queue.js'
import { answerOf, frameOf, type RefusedWith } from './link.js'

/** Bytes of a body that are read. */
const LIMIT = 65_536
/** Requests that wait for the script's answer, at most. */
const MOST = 100

/** Answers a request by a refusal. */
export function sendRefused (response: ServerResponse, reason: RefusedWith): void {
  response.setHeader('content-type', 'application/json')
  response.setHeader('retry-after', Math.ceil(reason.retryAfter / 1_000))
  response.writeHead(reason.statusCode).end(answerOf(reason))
}

/** What the client posts beside its streams. A request is answered when the script says how. */
export class Posts {
  readonly frames = new FrameQueue()
  readonly #open = new Map<Frame, ServerResponse>()

  async take (request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    try {
      for await (const chunk of request.setEncoding('utf8')) {
        body += String(chunk)
        if (body.length > LIMIT) return void response.destroy()
      }
    } catch {
      // The client has gone; what it has begun to say counts for nothing.
      return
    }
    const frame = frameOf(body)
    this.#open.set(frame, response)
    response.once('close', () => { this.#open.delete(frame) })
    if (this.#open.size > MOST) return void response.destroy()
    // Of these nothing else is asked than that they came.
    if (frame.type === 'ping') this.#answer(frame, { type: 'pong' })
    if (frame.type === 'pong' || frame.type === 'leave') this.ack(frame)
    if (frame.type !== 'ping') this.frames.push(frame)
  }

  ack (frame: Frame): void { this.#answer(frame, { type: 'ack', id: frame.id, room: frame.room }) }

  refuse (frame: Frame, reason: RefusedWith): void {
    const response = this.#open.get(frame)
    if (response !== undefined) sendRefused(response, reason)
  }

  breakOff (frame: Frame): void { this.#open.get(frame)?.destroy() }

  /** Ends what is open as a network does. */
  cut (): void { for (const response of [...this.#open.values()]) response.destroy() }

  #answer (frame: Frame, answer: object): void {
    this.#open.get(frame)?.setHeader('content-type', 'application/json').end(JSON.stringify(answer))
  }
}
