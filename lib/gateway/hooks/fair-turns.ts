import { after } from '../../structures/timers.js'
import { HookFailure } from './failure.js'

export interface FairTurnsOptions {
  /** Requests at once. */
  readonly most: number
  /** Of those, requests of one user. */
  readonly perUser: number
  /** Of those, notices, which are of all users. */
  readonly notices: number
}

/** Who has requests under way, or waits for a turn. */
interface Party {
  /** The user; none for the notices. */
  readonly user: string | undefined
  readonly share: number
  underWay: number
  /** Oldest first. */
  readonly waiting: Set<() => void>
}

/**
 * Whose request goes next to a backend that takes a number of them at once. Each user has a share of that, and those
 * who wait go in turn, one request of each: whoever asks slow questions holds up himself first.
 */
export class FairTurns {
  readonly #options: FairTurnsOptions
  readonly #parties = new Map<string | undefined, Party>()
  /** Parties whose next request goes as soon as there is a place. */
  readonly #next = new Set<Party>()
  #underWay = 0

  constructor (options: FairTurnsOptions) {
    this.#options = options
  }

  /** Parties that have requests under way, or wait. */
  get size (): number { return this.#parties.size }

  /**
   * Waits for a turn.
   *
   * @param user whose it is; none for a notice
   * @param timeout milliseconds
   * @returns what ends it
   * @throws HookFailure `user_busy` or `busy`, where none came
   */
  async take (user: string | undefined, timeout: number): Promise<() => void> {
    const party = this.#of(user)
    if (this.#underWay < this.#options.most && party.underWay < party.share) this.#begin(party)
    else await this.#wait(party, timeout)
    return () => { this.#end(party) }
  }

  async #wait (party: Party, timeout: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const begin = (): void => {
        clearTimeout(timer)
        resolve()
      }
      const timer = after(() => {
        party.waiting.delete(begin)
        if (party.waiting.size === 0) this.#next.delete(party)
        this.#forget(party)
        reject(party.underWay >= party.share
          ? new HookFailure('user_busy', `the ${party.share} requests of its user took too long`)
          : new HookFailure('busy', `none of its ${this.#options.most} requests ended in time`))
      }, timeout)
      party.waiting.add(begin)
      if (party.underWay < party.share) this.#next.add(party)
    })
  }

  #of (user: string | undefined): Party {
    let party = this.#parties.get(user)
    if (party === undefined) {
      const { perUser, notices } = this.#options
      party = { user, share: user === undefined ? notices : perUser, underWay: 0, waiting: new Set() }
      this.#parties.set(user, party)
    }
    return party
  }

  #begin (party: Party): void {
    this.#underWay++
    party.underWay++
  }

  #end (party: Party): void {
    this.#underWay--
    party.underWay--
    if (party.waiting.size > 0) this.#next.add(party)
    const [next] = this.#next
    if (next !== undefined) this.#call(next)
    this.#forget(party)
  }

  #call (party: Party): void {
    const [begin] = party.waiting
    party.waiting.delete(begin!)
    this.#begin(party)
    // The others go first.
    this.#next.delete(party)
    if (party.waiting.size > 0 && party.underWay < party.share) this.#next.add(party)
    begin!()
  }

  #forget (party: Party): void {
    if (party.underWay === 0 && party.waiting.size === 0) this.#parties.delete(party.user)
  }
}
