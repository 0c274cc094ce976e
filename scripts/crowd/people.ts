const FIRST = [
  'ada', 'ben', 'chloe', 'dmitri', 'esra', 'farid', 'grace', 'hugo', 'ines', 'jonas', 'keiko', 'lena', 'marco', 'nadia',
  'omar', 'petra', 'quentin', 'rosa', 'samir', 'tove', 'uma', 'viktor', 'wanda', 'xenia', 'yusuf', 'zoe'
]
const LAST = [
  'almeida', 'berg', 'costa', 'dubois', 'eriksen', 'fischer', 'garcia', 'haddad', 'ito', 'jansen', 'kaya', 'lindholm',
  'moreau', 'novak', 'okafor', 'petrov', 'quist', 'rossi', 'sato', 'tanaka', 'usman', 'vogel', 'weber', 'zhang'
]
/** Connections of each user who has a name: a phone, a tablet and a desk. */
const DEVICES = 3
/** Users who have a name, and the part of all connections that is theirs at most. */
const NAMED = FIRST.length * LAST.length
const NAMED_PART = 0.1

export const TEAMS = 1_000
/** One in so many connections is in the hall, too. */
const IN_HALL = 10
/** So many users with names are in the lobby, too, where they see each other. */
const IN_LOBBY = 300
export const HALL = 'hall/main'
export const LOBBY = 'team/lobby'

/** The crowd, by the number of a connection: the first ones are of users with names, all others are guests. */
export class People {
  readonly #named: number

  /** @param connections how many there are */
  constructor (connections: number) {
    this.#named = Math.max(1, Math.min(NAMED, Math.floor(connections * NAMED_PART / DEVICES)))
  }

  isNamed (index: number): boolean { return index < this.#named * DEVICES }

  userOf (index: number): string {
    if (!this.isNamed(index)) return `guest-${String(index).padStart(5, '0')}`
    const person = index % this.#named
    return `${FIRST[person % FIRST.length]!}.${LAST[Math.floor(person / FIRST.length) % LAST.length]!}`
  }

  roomsOf (index: number): string[] {
    const team = `team/${1 + index % TEAMS}`
    if (index < IN_LOBBY) return [team, HALL, LOBBY]
    return this.isNamed(index) || index % IN_HALL === 0 ? [team, HALL] : [team]
  }
}
