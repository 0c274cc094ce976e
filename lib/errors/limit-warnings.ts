import type { FastifyBaseLogger } from 'fastify'
import { Seldom } from '../structures/seldom.js'

/**
 * Every limit of the options, and what helps: a test compares it with the schemas of the options. A limit of a room
 * stands under the name that it has in `app.room`.
 */
export const LIMITS = {
  capacity: 'raise it, or add a node',
  'limits.user.connections': 'raise it, or find out why this user has so many',
  'limits.address': 'raise it, or find out who is behind it; behind a proxy set trustProxy in the options of Fastify',
  'limits.pending.total': 'more upgrades begin than hooks and authentication get done; look what those wait for, or raise it',
  'limits.pending.address': 'one address opens more than is authenticated; find out who it is, or raise it; behind a proxy set trustProxy in the options of Fastify',
  'limits.rooms': 'raise it, or let the client leave rooms that it does not show',
  'limits.message': 'raise it, or let the client send a reference to the data',
  'limits.rate': 'raise it, or find out why this client says so much',
  'limits.event': 'send a reference to the data instead, or raise it',
  'limits.outbox': 'the peer reads too slowly, and is cut at the limit; send less, or raise it',
  'limits.remembered.bytes': 'outcomes are forgotten before their time; raise it',
  'limits.remembered.perUser': 'the oldest outcomes of this user are forgotten before their time; raise it, or lower the size of replies',
  'history.bytes': 'rooms lose their oldest events and values before their time; raise it, or lower history.size or history.ttl',
  'api.rate': 'raise it, or find out why this program says so much',
  'capacity of the room': 'raise it, or let the application make another room',
  'limits.message of the room': 'raise it, or let the client send a reference to the data',
  'limits.rate of the room': 'raise it, or find out why this client says so much',
  'append.size of the room': 'the text ends at the limit; raise it, or begin another text'
} as const

/**
 * Times after which a reader that takes next to nothing is cut, and what helps. Nobody is near to them who reads on.
 */
export const TIMES = {
  'timeouts.write': 'the peer has taken next to nothing for as long, and can resume; look at its network, or raise it',
  heartbeat: 'the peer has taken next to nothing for 1.4 times as long, and can resume; look at its network, or raise it',
  'drain.timeout': 'the peer has taken nothing until the drain was over, and can resume on another node; look at its network'
} as const

const HELP = { ...LIMITS, ...TIMES }

/** The part of a limit from which on it is told. */
const NEARLY = 0.8
/** Of a smaller limit one more connection is a large part, and the refusal says it soon enough. */
const LEAST = 10

export type WatchedLimit = keyof typeof LIMITS
export type PassedTime = keyof typeof TIMES

/** Whether so much of a limit is used that it is worth a line: for places that are passed by every message. */
export function isNearly (used: number, most: number): boolean { return used >= most * NEARLY && most >= LEAST }

/** Warns of limits before they refuse somebody: of each once a minute from 80 % on, and once when all is used. */
export class LimitWarnings {
  readonly #log: Pick<FastifyBaseLogger, 'warn'>
  readonly #nearly = new Seldom()
  readonly #reached = new Seldom()

  constructor (log: Pick<FastifyBaseLogger, 'warn'>) {
    this.#log = log
  }

  /** Looks at what is used of a limit; cheap where that is less than 80 %. */
  look (limit: WatchedLimit, used: number, most: number, of: object = {}): void {
    if (!isNearly(used, most)) return
    if (used >= most) this.reached(limit, { value: most, used, ...of })
    else this.#warn(this.#nearly, '80 %', limit, { value: most, used, ...of })
  }

  /** Tells that a limit was reached, whatever is used of it by now. */
  reached (limit: WatchedLimit | PassedTime, of: object): void { this.#warn(this.#reached, 'all', limit, of) }

  #warn (seldom: Seldom, part: string, limit: WatchedLimit | PassedTime, of: object): void {
    const suppressed = seldom.due(limit)
    if (suppressed === undefined) return
    this.#log.warn(
      { limit, ...of, ...(suppressed === 0 ? {} : { suppressed }) },
      `${part} of ${limit} is used: ${HELP[limit]}`
    )
  }
}
