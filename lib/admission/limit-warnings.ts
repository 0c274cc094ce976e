import type { FastifyBaseLogger } from 'fastify'
import { Seldom } from '../structures/seldom.js'

/** What helps, by the limit. */
const FIXES = {
  capacity: 'raise it, or add a node',
  'limits.user.connections': 'raise it, or find out why this user has so many',
  'limits.address': 'raise it, or find out who is behind it; behind a proxy set trustProxy in the options of Fastify',
  'capacity of the room': 'raise it, or let the application make another room',
  'limits.outbox': 'the peer reads too slowly, and is cut at the limit; send less, or raise it',
  'history.bytes': 'rooms lose their oldest events before their time; raise it, or lower history.size or history.ttl',
  'limits.remembered.bytes': 'outcomes are forgotten before their time; raise it'
} as const

/** The part of a limit from which on it is told. */
const NEARLY = 0.8
/** Of a smaller limit one more connection is a large part, and the refusal says it soon enough. */
const LEAST = 10

export type WatchedLimit = keyof typeof FIXES

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
    if (used < most * NEARLY || most < LEAST) return
    if (used >= most) this.reached(limit, { value: most, used, ...of })
    else this.#warn(this.#nearly, '80 %', limit, { value: most, used, ...of })
  }

  /** Tells that a limit was reached, whatever is used of it by now. */
  reached (limit: WatchedLimit, of: object): void { this.#warn(this.#reached, 'all', limit, of) }

  #warn (seldom: Seldom, part: string, limit: WatchedLimit, of: object): void {
    const suppressed = seldom.due(limit)
    if (suppressed === undefined) return
    this.#log.warn(
      { limit, ...of, ...(suppressed === 0 ? {} : { suppressed }) },
      `${part} of ${limit} is used: ${FIXES[limit]}`
    )
  }
}
