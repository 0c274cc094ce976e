import type { ClientOptions } from './client.js'
import { HttpClient } from './http-client.js'
import { readHead } from './http-head.js'
import type { Conversation, Turn } from './poll-dialect.js'
import type { Totals } from './totals.js'

/** One client that polls, all its requests one after another over one connection. */
export class PollClient extends HttpClient {
  readonly #conversation: Conversation
  #answer: Buffer | undefined

  constructor (options: ClientOptions, totals: Totals, conversation: Conversation) {
    super(options, totals)
    this.#conversation = conversation
    this.#turn(conversation.first)
  }

  #turn ({ path, body }: Turn): void {
    this.ask(path, body === undefined ? [] : ['Content-Type: text/plain;charset=UTF-8'], body)
  }

  protected read (bytes: Buffer): void {
    const answer = this.#answer === undefined ? bytes : Buffer.concat([this.#answer, bytes])
    try {
      const head = readHead(answer)
      if (head !== undefined && head.length === undefined) throw new Error('an answer without a length')
      if (head === undefined || answer.length < head.end + head.length!) {
        this.#answer = Buffer.from(answer)
        return
      }
      this.#answer = undefined
      this.#take(answer.subarray(head.end))
    } catch (error) {
      this.fail((error as Error).message)
    }
  }

  #take (body: Buffer): void {
    const wasReady = this.#conversation.isReady
    const next = this.#conversation.next(body.toString('utf8'))
    this.#turn(next)
    this.events(body)
    if (!wasReady && this.#conversation.isReady) this.admitted()
  }
}
