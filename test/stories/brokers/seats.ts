import { setTimeout as sleep } from 'node:timers/promises'
import type { Place } from './client.js'
import { openWebSocket, type Link } from './links.js'
import { BOOTH, SEATS } from './rooms.js'

export interface SeatsOptions {
  readonly contenders: number
  readonly token: (user: string) => string
  readonly nodes: () => readonly Place[]
  readonly random: () => number
}

/** Milliseconds that a seat is kept at most. */
const LONGEST = 400
/** Milliseconds between two tries. */
const PAUSE = 60

/**
 * More connections than a room takes try to be in it, on all nodes. One counts from its welcome until it begins to
 * leave, so that more than there are seats is never a matter of whose clock is read.
 */
export class Seats {
  readonly #options: SeatsOptions
  readonly #taken = new Set<Link>()
  readonly #running: Array<Promise<void>>
  #isOn = true
  /** the broker is there for all nodes: the limit holds */
  isCounted = true
  /** most that were in at once above the limit, while it was counted */
  over = 0
  admitted = 0

  constructor (options: SeatsOptions) {
    this.#options = options
    this.#running = Array.from({ length: options.contenders }, (_, index) => this.#contend(`guest-${index}`))
  }

  /** Nobody tries any more, and all seats are given back. */
  async stop (): Promise<void> {
    this.#isOn = false
    await Promise.all(this.#running)
  }

  async #contend (user: string): Promise<void> {
    const { random } = this.#options
    while (this.#isOn) {
      const opened = this.#open(user)
      if (opened === undefined) {
        await sleep(PAUSE)
        continue
      }
      const { link, isIn } = opened
      if (await isIn) {
        this.admitted++
        await Promise.race([link.ended, sleep(random() * LONGEST)])
        this.#leave(link)
      }
      await link.ended
      await sleep(PAUSE + random() * PAUSE)
    }
  }

  /** @returns `undefined` while no node is alive */
  #open (user: string): { link: Link, isIn: Promise<boolean> } | undefined {
    const { nodes, random, token } = this.#options
    const alive = nodes().filter(({ isAlive }) => isAlive)
    const place = alive[Math.floor(random() * alive.length)]
    if (place === undefined) return undefined
    let welcome!: (isIn: boolean) => void
    const isIn = new Promise<boolean>((resolve) => { welcome = resolve })
    const link = openWebSocket({
      url: place.url,
      token: token(user),
      query: `room=${BOOTH}`,
      onFrame: ({ type, data }) => {
        if (type !== 'welcome') return
        const isAdmitted = (data!.rooms as object)[BOOTH as never] !== undefined
        if (isAdmitted) this.#sit(link)
        else link.cut()
        welcome(isAdmitted)
      }
    })
    void link.ended.then(() => {
      this.#taken.delete(link)
      welcome(false)
    })
    return { link, isIn }
  }

  #sit (link: Link): void {
    this.#taken.add(link)
    if (this.isCounted) this.over = Math.max(this.over, this.#taken.size - SEATS)
  }

  #leave (link: Link): void {
    this.#taken.delete(link)
    link.cut()
  }

  /** Tries to take all seats at once. @returns how many could not be had within `patience` milliseconds */
  async stuck (patience: number): Promise<number> {
    const end = performance.now() + patience
    const free = async (user: string): Promise<boolean> => {
      do {
        const opened = this.#open(user)
        if (await opened?.isIn === true) return true
        await opened?.link.ended
        await sleep(PAUSE)
      } while (performance.now() < end)
      return false
    }
    const had = await Promise.all(Array.from({ length: SEATS }, (_, index) => free(`last-${index}`)))
    for (const link of [...this.#taken]) this.#leave(link)
    return had.filter((isHad) => !isHad).length
  }
}
