import { hash } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { Claim, ClaimStore } from '../adapters/adapter.js'
import type { FailureLog } from '../errors/failure-log.js'
import { isUncertain, Refusal, refusalOf } from '../errors/refusal.js'
import { keyOf } from '../protocol/key.js'
import type { Awaitable } from '../structures/awaitable.js'
import { after } from '../structures/timers.js'
import { parseOutcome, refusedBy, type Outcome } from './outcome.js'
import { UnstoredOutcomes, type OwnClaim, type RememberedLimits } from './unstored.js'

export interface IdempotencyOptions {
  /** Milliseconds that a handler may take. */
  readonly timeout: number
  /** Milliseconds that an outcome is kept. */
  readonly window: number
  /** Name of this node among those that claim messages. */
  readonly holder: string
  /** Bytes of outcomes that wait for an adapter whose server is away, of one user and of all. */
  readonly remembered: RememberedLimits
  readonly log: Pick<FastifyBaseLogger, 'warn'>
  readonly failures: FailureLog
}

/** A message with an id, with the parts that are needed to run it once. */
export interface OnceCall {
  readonly userId: string
  /** Name of the room. */
  readonly name: string
  readonly type: string
  readonly data: unknown
  readonly declaration: { readonly log: unknown }
  /** @throws Refusal when the sender may no longer send it */
  readonly check: () => void
}

/** A handler at work: `answer` resolves by its deadline, `end` with its outcome whenever it ends. */
export class Handling {
  readonly answer: Promise<Outcome>
  readonly end: Promise<Outcome>

  constructor (answer: Promise<Outcome>, end: Promise<Outcome>) {
    this.answer = answer
    this.end = end
  }
}

/** Runs the handler of a message once; `keep` stores its outcome before it is sent. */
export type Handle = (keep: (final: Outcome) => Awaitable<Outcome>) => Outcome | Handling

/** Characters of a content that is kept as it is, where it stays in this process. */
const UNHASHED = 128

/** A holder that has not settled so many milliseconds after the handler's timeout is given up. */
const SETTLE = 5_000

interface Running { readonly hash: string, readonly outcome: Promise<Outcome> }

/**
 * Runs a message once per user and id, on whichever node it arrives, and gives its outcome each time that it is sent.
 */
export class Idempotency {
  readonly #claims: ClaimStore | undefined
  readonly #options: IdempotencyOptions
  readonly #running = new Map<string, Running>()
  readonly #unstored: UnstoredOutcomes | undefined
  /** Claims that were named. */
  #claimed = 0

  /** @param claims absent where the adapter keeps none: then only messages that are running on this node are known */
  constructor (claims: ClaimStore | undefined, options: IdempotencyOptions) {
    this.#claims = claims
    this.#options = options
    if (claims !== undefined) this.#unstored = new UnstoredOutcomes(claims, options)
  }

  stop (): void { this.#unstored?.stop() }

  /**
   * Where nothing has to wait, neither the store of claims nor the handler, the outcome is no promise.
   *
   * @throws Refusal `duplicate` when the id was used for another message
   */
  run (call: OnceCall, id: string, handle: Handle): Awaitable<Outcome> {
    const key = keyOf(call.userId, id)
    const content = this.#contentOf(call)
    const running = this.#running.get(key)
    if (running !== undefined) {
      if (running.hash !== content) throw new Refusal('duplicate')
      return running.outcome
    }
    const unstored = this.#unstored?.get(key)
    if (unstored?.outcome !== undefined) {
      if (unstored.hash !== content) throw new Refusal('duplicate')
      return JSON.parse(unstored.outcome) as Outcome
    }
    const { userId: owner } = call
    const owed = this.#claims?.isLocal === true ? undefined : this.#unstored?.owed(key)
    const begin = (holder: string | undefined): Awaitable<Outcome | Handling> => this.#begin(call, {
      key,
      hash: content,
      owner,
      holder: holder ?? this.#newHolder(),
      isAgain: holder !== undefined
    }, handle)
    const begun = owed instanceof Promise ? this.#afterwards(owed, key, begin) : begin(owed)
    return begun instanceof Promise || begun instanceof Handling ? this.#follow(key, content, begun) : begun
  }

  /**
   * Name under which a message is claimed. Each claim has a name of its own, so that the release of one, which its
   * store may execute late, gives back no later claim of this node. What stays in this process is never late.
   */
  #newHolder (): string {
    const { holder } = this.#options
    return this.#claims?.isLocal === true ? holder : `${holder}.${(++this.#claimed).toString(36)}`
  }

  /** Begins once nothing of the message is being given back. */
  async #afterwards (
    underWay: Promise<unknown>,
    key: string,
    begin: (holder: string | undefined) => Awaitable<Outcome | Handling>
  ): Promise<Outcome | Handling> {
    try {
      for (let owed: ReturnType<UnstoredOutcomes['owed']> = underWay; ; owed = this.#unstored!.owed(key)) {
        if (!(owed instanceof Promise)) return await begin(owed)
        await owed
      }
    } catch (error) {
      return refusedBy(refusalOf(error).refusal)
    }
  }

  #begin (call: OnceCall, mine: OwnClaim, handle: Handle): Awaitable<Outcome | Handling> {
    let claimed: Awaitable<Claim | undefined>
    try {
      claimed = this.#claim(mine)
    } catch (error) {
      return this.#unclaimed(mine, error)
    }
    const begin = (claim: Claim | undefined): Outcome | Handling => {
      try {
        const known = this.#known(claim, mine.key)
        if (known !== undefined) return known
        this.#checkAgain(call, mine)
      } catch (error) {
        return refusedBy(refusalOf(error).refusal)
      }
      return handle((final) => this.#keep(call, mine, final))
    }
    return claimed instanceof Promise
      ? claimed.then(begin, (error: unknown) => this.#unclaimed(mine, error))
      : begin(claimed)
  }

  /**
   * What tells one content from another. A text that is not hashed has a line break, which no hash has.
   */
  #contentOf ({ name, type, data }: OnceCall): string {
    const text = `${keyOf(name, type)}\n${JSON.stringify(data)}`
    return this.#claims?.isLocal === true && text.length <= UNHASHED ? text : hash('sha1', text, 'base64')
  }

  /** Gives each further attempt the same outcome, for as long as the handler runs or its claim lasts. */
  async #follow (key: string, content: string, beginning: Awaitable<Outcome | Handling>): Promise<Outcome> {
    let settle!: (outcome: Outcome) => void
    const outcome = new Promise<Outcome>((resolve) => { settle = resolve })
    const mine = { hash: content, outcome }
    this.#running.set(key, mine)
    const forget = (): void => { if (this.#running.get(key) === mine) this.#running.delete(key) }
    const begun = beginning instanceof Promise ? await beginning : beginning
    if (!(begun instanceof Handling)) {
      forget()
      settle(begun)
      return begun
    }
    const { answer, end } = begun
    let expiry: NodeJS.Timeout | undefined
    let isOver = false
    void end.then(() => {
      isOver = true
      clearTimeout(expiry)
      forget()
    })
    const told = await answer
    // The deadline has passed while the handler continues; it is forgotten when its claim is.
    if (!isOver) expiry = after(forget, SETTLE).unref()
    settle(told)
    return told
  }

  /**
   * What the claim says of the message's outcome; `undefined` where the message is this node's to run.
   *
   * @throws Refusal where it was another message, or is being handled elsewhere
   */
  #known (claim: Claim | undefined, key: string): Outcome | undefined {
    this.#unstored?.drop(key)
    switch (claim?.state) {
      case 'conflict': throw new Refusal('duplicate')
      case 'running':
        throw new Refusal('unavailable', {
          message: 'the message is being handled elsewhere',
          retryAfter: claim.retryAfter
        })
      case 'settled':
        return parseOutcome(claim.outcome) ??
          refusedBy(new Refusal('duplicate', {
            message: 'the message has taken effect; what it came to cannot be read by this node'
          }))
      default: return undefined
    }
  }

  /** The outcome of a message that could not be claimed. */
  #unclaimed (mine: OwnClaim, error: unknown): Outcome {
    // It may have been claimed all the same, now or the first time, and the claim would last for its whole lease.
    const isUnknown = isUncertain(error)
    if (isUnknown || mine.isAgain === true) this.#unstored?.add(mine, undefined, false)
    return refusedBy(refusalOf(error).refusal)
  }

  /**
   * Claims a message. The claim has to last as long as the handler may take. A process that stood still reads the
   * answer late, when another node may have the message by now, so it claims the message again.
   *
   * @throws Refusal `unavailable` when that happens again and again
   */
  #claim (mine: OwnClaim, tries = 3): Awaitable<Claim | undefined> {
    const { key, hash, owner, holder } = mine
    const began = performance.now()
    const claimed = this.#claims?.claim(key, hash, this.#options.timeout + SETTLE, owner, holder)
    if (!(claimed instanceof Promise)) return claimed
    return claimed.then((claim) => {
      if (claim.state !== 'claimed' || performance.now() - began < SETTLE) return claim
      if (tries === 1) throw new Refusal('unavailable', { retryAfter: 1_000, outcome: 'unknown' })
      return this.#claim(mine, tries - 1)
    })
  }

  /**
   * Checks the sender again. When it may no longer send, the claim is released, so that a later attempt can run the
   * message.
   */
  #checkAgain (call: OnceCall, mine: OwnClaim): void {
    try {
      call.check()
    } catch (error) {
      void this.#unstored?.release(mine)
      throw error
    }
  }

  /**
   * Stores the outcome before it is sent: a sender that has its answer then gets the same one from any node, and not
   * that the message is still being handled.
   */
  #keep ({ declaration }: OnceCall, mine: OwnClaim, final: Outcome): Awaitable<Outcome> {
    const { key, hash, owner, holder } = mine
    const isStored = !('error' in final) || (final.error.retry !== 'now' && final.error.retry !== 'backoff')
    let text: string | undefined
    const unstored = (error: unknown): Outcome => {
      this.#options.failures.warn(
        declaration.log as FastifyBaseLogger,
        'the outcome of a message could not be stored; it is kept here and stored as soon as the adapter takes it',
        error
      )
      this.#unstored?.add(mine, text, true)
      return final
    }
    try {
      text = isStored ? JSON.stringify(final) : undefined
      const stored = this.#claims?.settle(key, hash, text, this.#options.window, owner, holder)
      return stored instanceof Promise ? stored.then(() => final, unstored) : final
    } catch (error) {
      return unstored(error)
    }
  }
}
