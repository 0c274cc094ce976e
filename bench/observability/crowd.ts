import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What the members are told, and what they answer. */
export type Ask =
  | { readonly ask: 'connect', readonly port: number, readonly members: number, readonly rooms: number }
  /** To be answered once so many events have come, counted from the last question on. */
  | { readonly ask: 'await', readonly events: number }
  /** Some members of each room speak, each again as soon as its message is acked, so many times. */
  | { readonly ask: 'speak', readonly messages: number, readonly speakers: number }

/** The members of rooms, in a process of their own. */
export class Crowd {
  readonly #child: ChildProcess

  constructor () {
    this.#child = fork(fileURLToPath(new URL('members.ts', import.meta.url)), { execArgv: process.execArgv })
  }

  async ask (question: Ask): Promise<void> {
    const answered = once(this.#child, 'message')
    this.#child.send(question)
    await answered
  }

  end (): void { this.#child.kill() }
}
