import { wellFormed } from '../../protocol/key.js'

/**
 * Braces would change which shard a key belongs to; the rest is taken for patterns, separators or words by tools,
 * access lists and people.
 */
const PREFIX = /^[!-~]{1,128}$/
const ODD = /[{}*?[\]\\"']/

/** @returns what is wrong with a prefix, in words; `undefined` when nothing is */
export function prefixFault (prefix: unknown): string | undefined {
  if (typeof prefix === 'string' && PREFIX.test(prefix) && !ODD.test(prefix)) return undefined
  return 'is 1 to 128 printable ASCII characters without spaces, braces, quotes, backslashes and the wildcards * ? [ ], such as "shop-production:"'
}

/**
 * Names of everything that is kept in Redis. What belongs together shares a hash tag, so that one script may touch it
 * in a cluster. Keys are of one database; channels are of the whole server, so that they name theirs.
 */
export class Keys {
  readonly #prefix: string
  #channel = ''

  constructor (prefix: string) {
    this.#prefix = prefix
  }

  /**
   * The database of the connection, known when it stands. Channels of the first, which is that of a cluster, are as
   * they always were.
   */
  use (database: number): void { this.#channel = database === 0 ? '' : `:${database}` }

  meta (room: string): string { return `${this.#prefix}{${room}}:meta` }
  stream (room: string): string { return `${this.#prefix}{${room}}:stream` }
  events (room: string): string { return `${this.#prefix}{${room}}:events${this.#channel}` }
  once (room: string, key: string): string { return `${this.#prefix}{${room}}:once:${wellFormed(key)}` }
  latest (room: string): string { return `${this.#prefix}{${room}}:latest` }
  order (room: string): string { return `${this.#prefix}{${room}}:latest-order` }
  /** what tells where a room stands, and who is in it */
  place (room: string): string[] {
    const [presence, entries, counts, users] = this.presence(room) as [string, string, string, string]
    return [this.meta(room), this.stream(room), presence, entries, counts, users]
  }

  presence (room: string): string[] {
    const key = `${this.#prefix}{${room}}:presence`
    return [key, `${key}-entries`, `${key}-counts`, `${key}-users`, `${key}-changes`, this.events(room), `${key}-nodes`]
  }

  /** holders of one limit, and whose they are */
  leases (key: string): string[] { return [this.lease(key), `${this.lease(key)}:nodes`] }
  lease (key: string): string { return `${this.#prefix}{lease:${wellFormed(key)}}` }
  claim (key: string): string { return `${this.#prefix}{claim:${wellFormed(key)}}` }
  value (key: string): string { return `${this.#prefix}{value:${wellFormed(key)}}` }
  denial (subject: string): string { return `${this.#prefix}{denial:${wellFormed(subject)}}` }
  get control (): string { return `${this.#prefix}{control}:messages${this.#channel}` }
  /** what is kept of the messages between nodes */
  get told (): string { return `${this.#prefix}{control}:told` }
  /** tells whether the data is what it was */
  get mark (): string { return `${this.#prefix}{control}:mark` }

  get nodes (): string { return `${this.#prefix}{control}:nodes` }
  get secret (): string { return `${this.#prefix}{control}:secret` }

  /** @returns the room whose events channel this is */
  room (channel: string): string {
    return channel.slice(this.#prefix.length + 1, -('}:events'.length + this.#channel.length))
  }
}
