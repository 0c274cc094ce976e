import { setTimeout as sleep } from 'node:timers/promises'
import { Client, type Place } from './client.js'
import type { FleetNode } from './fleet-node.js'
import { TRANSPORTS, type Frame } from './links.js'
import { HALL } from './rooms.js'

export interface GuestsOptions {
  readonly token: (user: string) => string
  readonly nodes: readonly FleetNode[]
  readonly random: () => number
}

interface Change {
  readonly sequence: number,
  readonly joined: ReadonlyArray<{ userId: string }>,
  readonly left: ReadonlyArray<{ userId: string }>
}
interface Snapshot { readonly sequence: number, readonly list?: ReadonlyArray<{ userId: string }> }

/** Milliseconds that one who comes and goes is away: longer than the grace. */
const AWAY = 2_500
const STAY = 600

/** Who a member believes to be in the room, by what it was told. */
export class View {
  sequence = -1
  readonly users = new Set<string>()
  /** users of whom it was told that they left */
  readonly left: string[] = []

  /** @returns whether a list has to be asked for: something was missed before it, or it is an old list */
  take ({ type, data }: Frame): boolean {
    if (type === 'members') {
      const snapshot = data as unknown as Snapshot
      // Changes that came while it was on its way may be newer.
      const isOld = snapshot.sequence < this.sequence
      if (!isOld) this.#reset(snapshot)
      return isOld
    }
    const { sequence } = data as unknown as Change
    const isHole = sequence !== this.sequence + 1
    this.#change(data as unknown as Change)
    return isHole
  }

  #reset ({ sequence, list = [] }: Snapshot): void {
    this.sequence = sequence
    this.users.clear()
    for (const { userId } of list) this.users.add(userId)
  }

  #change ({ sequence, joined, left }: Change): void {
    this.sequence = sequence
    for (const { userId } of left) {
      this.users.delete(userId)
      this.left.push(userId)
    }
    for (const { userId } of joined) this.users.add(userId)
  }
}

/** Some stay in a room that shows its members, one on each node, and some come and go. */
export class Guests {
  readonly #options: GuestsOptions
  readonly #stayers: Client[] = []
  readonly #views = new Map<string, View>()
  readonly #running: Array<Promise<void>> = []
  readonly #rest = new AbortController()
  #isWatching = true
  #asked = 0

  constructor (options: GuestsOptions) {
    this.#options = options
    for (const [index, node] of options.nodes.entries()) {
      const view = new View()
      const alive = (): readonly Place[] => node.isAlive ? [node] : options.nodes
      const stayer = this.#client(`stayer-${index}`, alive, 0, (frame) => {
        if (view.take(frame)) void this.#refresh(stayer, view)
      })
      this.#views.set(stayer.user, view)
      this.#stayers.push(stayer)
      stayer.start()
    }
  }

  get areIn (): boolean { return this.#stayers.every(({ isIn }) => isIn) }

  #client (
    user: string,
    nodes: () => readonly Place[],
    transport: number,
    onPresence: (frame: Frame) => void = () => undefined
  ): Client {
    const { token, random } = this.#options
    return new Client({
      user,
      token: token(user),
      transport: TRANSPORTS[transport]!,
      rooms: [HALL],
      nodes,
      random,
      onPresence
    })
  }

  /** The sequence has a hole: the protocol asks for a snapshot then. */
  async #refresh (stayer: Client, view: View): Promise<void> {
    for (;;) {
      const answer = await stayer.ask({ type: 'members', room: HALL, id: `members-${++this.#asked}` })
      if (!this.#isWatching) return
      if (answer?.type === 'ack') {
        if (view.take({ type: 'members', data: answer.data! })) continue
        return
      }
      await sleep(100)
    }
  }

  /** Others come and go from now on. */
  mingle (): void {
    for (let index = 0; index < 3; index++) this.#running.push(this.#visit(`visitor-${index}`, index))
  }

  async #visit (user: string, transport: number): Promise<void> {
    const { nodes, random } = this.#options
    while (!this.#rest.signal.aborted) {
      const client = this.#client(user, () => nodes, transport)
      client.start()
      await sleep(STAY + random() * STAY, undefined, { signal: this.#rest.signal }).catch(() => undefined)
      await client.stop()
      await sleep(AWAY, undefined, { signal: this.#rest.signal }).catch(() => undefined)
    }
  }

  /** Those who come and go are gone. */
  async rest (): Promise<void> {
    this.#rest.abort()
    await Promise.all(this.#running)
  }

  /** users of whom somebody was told that they left, although they stayed */
  get flaps (): string[] {
    return [...this.#views].flatMap(([watcher, { left }]) => {
      return left.filter((user) => user.startsWith('stayer-')).map((user) => `${watcher} saw ${user} leave`)
    })
  }

  /**
   * Who is shown somewhere and is not there, and who is there and not shown; empty when all agree before `patience`
   * milliseconds have passed.
   *
   * @param mayLinger visitors that came back with older data are shown until their lease of a minute ends
   */
  async ghosts (patience: number, mayLinger = false): Promise<string[]> {
    const expected = this.#stayers.map(({ user }) => user).sort()
    const end = performance.now() + patience
    for (;;) {
      const wrong: string[] = []
      const compare = (where: string, users: Iterable<string>): void => {
        const shown = [...users].filter((user) => !mayLinger || !user.startsWith('visitor-')).sort()
        if (shown.join() !== expected.join()) wrong.push(`${where} shows ${shown.join(' ')}`)
      }
      for (const node of this.#options.nodes.filter(({ isAlive }) => isAlive)) {
        await node.call('members', HALL).then(
          (users) => { compare(node.name, users) },
          (error: Error) => { wrong.push(`${node.name}: ${error.message}`) }
        )
      }
      for (const [watcher, { users }] of this.#views) compare(watcher, users)
      if (wrong.length === 0 || performance.now() > end) return wrong
      await sleep(100)
    }
  }

  async stop (): Promise<void> {
    this.#isWatching = false
    await this.rest()
    await Promise.all(this.#stayers.map((stayer) => stayer.stop()))
  }
}
