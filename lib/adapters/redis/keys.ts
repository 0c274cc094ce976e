import { wellFormed } from '../../protocol/key.js'

/**
 * Characters of a prefix. Braces would change the shard of a key; tools, access lists and people take the other
 * excluded ones for patterns, separators or words.
 */
const PREFIX = /^[!-~]{1,128}$/
const ODD = /[{}*?[\]\\"']/

/** @returns what is wrong with a prefix, in words; `undefined` when it is valid */
export function prefixFault (prefix: unknown): string | undefined {
  if (typeof prefix === 'string' && PREFIX.test(prefix) && !ODD.test(prefix)) return undefined
  return 'is 1 to 128 printable ASCII characters without spaces, braces, quotes, backslashes and the wildcards * ? [ ], such as "shop-production:"'
}

/**
 * Names everything that is kept in Redis. Keys that belong together share a hash tag, so that one script may touch them
 * in a cluster. Keys are of one database; channels are of the whole server, so they name their database.
 */
export class Keys {
  readonly #prefix: string
  #channel = ''

  constructor (prefix: string) {
    this.#prefix = prefix
  }

  /**
   * Sets the database of the connection, which is known once it is open. Channels of the first database, which is that
   * of a cluster, carry no number, as in earlier versions.
   */
  use (database: number): void { this.#channel = database === 0 ? '' : `:${database}` }

  meta (room: string): string { return `${this.#prefix}{${room}}:meta` }
  stream (room: string): string { return `${this.#prefix}{${room}}:stream` }
  events (room: string): string { return `${this.#prefix}{${room}}:events${this.#channel}` }
  once (room: string, key: string): string { return `${this.#prefix}{${room}}:once:${wellFormed(key)}` }
  latest (room: string): string { return `${this.#prefix}{${room}}:latest` }
  order (room: string): string { return `${this.#prefix}{${room}}:latest-order` }
  /** Names of a room's texts: those that grow, and those that have ended. */
  texts (room: string): [growing: string, ended: string] {
    return [`${this.#prefix}{${room}}:texts-growing`, `${this.#prefix}{${room}}:texts-ended`]
  }

  /** What is kept of one text, behind what the texts of its room share. */
  text (room: string, name: string): string[] {
    const key = `${this.#prefix}{${room}}:text`
    return [this.meta(room), this.events(room), ...this.texts(room), `${key}:${name}`, `${key}-inside:${name}`]
  }

  /** Keys that tell where a room stands, and who is in it. */
  place (room: string): string[] {
    const all = this.presence(room)
    return [this.meta(room), this.stream(room), ...all.slice(0, 4), all.at(-1)!]
  }

  presence (room: string): string[] {
    const key = `${this.#prefix}{${room}}:presence`
    return [key, `${key}-entries`, `${key}-counts`, `${key}-users`, `${key}-changes`, this.events(room), `${key}-nodes`]
  }

  /** Holders of one limit, and their nodes. */
  leases (key: string): string[] { return [this.lease(key), `${this.lease(key)}:nodes`] }
  lease (key: string): string { return `${this.#prefix}{lease:${wellFormed(key)}}` }
  claim (key: string): string { return `${this.#prefix}{claim:${wellFormed(key)}}` }
  value (key: string): string { return `${this.#prefix}{value:${wellFormed(key)}}` }
  denial (subject: string): string { return `${this.#prefix}{denial:${wellFormed(subject)}}` }
  denialVersion (subject: string): string { return `${this.denial(subject)}:version` }
  get control (): string { return `${this.#prefix}{control}:messages${this.#channel}` }
  /** Kept messages between nodes. */
  get told (): string { return `${this.#prefix}{control}:told` }
  /** Those that are soon of no use, and may be very many. */
  get brief (): string { return `${this.#prefix}{control}:brief` }
  /** Mark by which it is known whether the data is still the same. */
  get mark (): string { return `${this.#prefix}{control}:mark` }
  /** The same of one shard of a cluster, where the hash tag is. */
  shardMark (tag: string): string { return `${this.#prefix}{${tag}}:mark` }

  get nodes (): string { return `${this.#prefix}{control}:nodes` }
  get secret (): string { return `${this.#prefix}{control}:secret` }

  /** @returns the room whose events channel this is */
  room (channel: string): string {
    return channel.slice(this.#prefix.length + 1, -('}:events'.length + this.#channel.length))
  }
}
