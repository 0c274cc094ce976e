import { wellFormed } from '../protocol/key.js'

/** Names of everything that is kept in Redis. What belongs together shares a hash tag, so that one script may touch it in a cluster. */
export class Keys {
  readonly #prefix: string

  constructor (prefix: string) {
    this.#prefix = prefix
  }

  meta (room: string): string { return `${this.#prefix}{${room}}:meta` }
  stream (room: string): string { return `${this.#prefix}{${room}}:stream` }
  events (room: string): string { return `${this.#prefix}{${room}}:events` }
  once (room: string, key: string): string { return `${this.#prefix}{${room}}:once:${wellFormed(key)}` }
  latest (room: string): string { return `${this.#prefix}{${room}}:latest` }
  order (room: string): string { return `${this.#prefix}{${room}}:latest-order` }
  presence (room: string): string[] {
    const key = `${this.#prefix}{${room}}:presence`
    return [key, `${key}-entries`, `${key}-counts`, `${key}-users`, `${key}-changes`, this.events(room)]
  }

  lease (key: string): string { return `${this.#prefix}{lease:${wellFormed(key)}}` }
  claim (key: string): string { return `${this.#prefix}{claim:${wellFormed(key)}}` }
  value (key: string): string { return `${this.#prefix}{value:${wellFormed(key)}}` }
  denial (subject: string): string { return `${this.#prefix}{denial:${wellFormed(subject)}}` }
  get control (): string { return `${this.#prefix}{control}:messages` }
  /** what is kept of the messages between nodes */
  get told (): string { return `${this.#prefix}{control}:told` }
  /** tells whether the data is what it was */
  get mark (): string { return `${this.#prefix}{control}:mark` }

  get secret (): string { return `${this.#prefix}{control}:secret` }

  /** @returns the room whose events channel this is */
  room (channel: string): string {
    return channel.slice(this.#prefix.length + 1, -'}:events'.length)
  }
}
