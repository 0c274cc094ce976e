/** One request of a client that polls; with a body it is a POST. */
export interface Turn { readonly path: string, readonly body?: string }

/** What a client that polls asks next. */
export interface Conversation {
  readonly first: Turn
  /** whether the client is in its room, and the next request waits for news */
  readonly isReady: boolean
  next (answer: string): Turn
}

/** @param wait milliseconds that a poll may wait for news, where the client says so */
export type Converse = (room: string, wait: number) => Conversation

class RealtimePolls implements Conversation {
  readonly first: Turn
  readonly #wait: number
  isReady = false

  constructor (room: string, wait: number) {
    this.first = { path: `/ws/${room}` }
    this.#wait = wait
  }

  next (answer: string): Turn {
    const { cursor } = JSON.parse(answer) as { cursor: string }
    this.isReady = true
    return { path: `${this.first.path}?since=${encodeURIComponent(cursor)}&wait=${this.#wait}` }
  }
}

class PlainPolls implements Conversation {
  readonly first: Turn
  isReady = false

  constructor (room: string, wait: number) {
    this.first = { path: `/ws?room=${encodeURIComponent(room)}&wait=${wait}` }
  }

  next (answer: string): Turn {
    const { since } = JSON.parse(answer) as { since: number }
    this.isReady = true
    return { path: `${this.first.path}&since=${since}` }
  }
}

/** Packets of one answer of Engine.IO. */
const SEPARATOR = '\x1e'
const PING = '2'
const PONG = '3'

class SocketIoPolls implements Conversation {
  readonly first: Turn
  #path = ''
  isReady = false

  constructor (room: string) {
    this.first = { path: `/socket.io/?EIO=4&transport=polling&rooms=${encodeURIComponent(room)}` }
  }

  next (answer: string): Turn {
    if (this.#path === '') {
      const { sid } = JSON.parse(answer.slice(1)) as { sid: string }
      this.#path = `${this.first.path}&sid=${sid}`
      return { path: this.#path, body: '40' }
    }
    if (answer.startsWith('44')) throw new Error(answer)
    if (answer.startsWith('40')) this.isReady = true
    return answer.split(SEPARATOR).includes(PING) ? { path: this.#path, body: PONG } : { path: this.#path }
  }
}

export const CONVERSATIONS: Readonly<Record<string, Converse>> = {
  realtime: (room, wait) => new RealtimePolls(room, wait),
  plain: (room, wait) => new PlainPolls(room, wait),
  socketio: (room) => new SocketIoPolls(room)
}
