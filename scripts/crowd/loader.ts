/** One process of `crowd.ts` with a part of the connections. */
import { setTimeout as sleep } from 'node:timers/promises'
import { serve } from '../../bench/shared/rpc.js'
import { every } from '../../lib/structures/timers.js'
import { Member, type MemberOptions } from './member.js'
import { People } from './people.js'
import { tokenOf } from './secret.js'

export interface Part {
  /** Connections of all loaders together. */
  readonly connections: number
  /** Those that come now, by their numbers: from, and below. */
  readonly from: number
  readonly below: number
  readonly loader: number
  readonly loaders: number
  /** Ports of the balancers. */
  readonly ports: readonly number[]
}

/** Source addresses. */
const ADDRESSES = process.platform === 'linux' ? 64 : 0
/** Connections that are being opened at a time. */
const AT_ONCE = 32
/** How often one is tried, and milliseconds between. */
const TRIES = 10
const PAUSE = 1_000
const LINES = [
  'the parcel is at gate four', 'who takes the night shift?', 'done, please have a look', 'moved to tomorrow',
  'the customer has confirmed', 'I am on it', 'two pallets are missing', 'thanks!'
]

/** Tries again as a client does: a machine that is busy with so many refuses one now and then. */
async function enter (options: MemberOptions): Promise<Member> {
  for (let tries = 1; ; tries++) {
    const member = new Member(options)
    try {
      await member.ready
      return member
    } catch (error) {
      if (tries === TRIES) throw error
      await sleep(PAUSE)
    }
  }
}

export class Loader {
  readonly #members: Member[] = []
  readonly #speakers: Array<{ readonly member: Member, readonly room: string }> = []
  #timer: NodeJS.Timeout | undefined
  #said = 0

  /** Resolves when all of them are in. */
  async connect ({ connections, from, below, loader, loaders, ports }: Part): Promise<void> {
    const people = new People(connections)
    let next = from + loader
    const worker = async (): Promise<void> => {
      while (next < below) {
        const index = next
        next += loaders
        const rooms = people.roomsOf(index)
        const member = await enter({
          port: ports[index % ports.length]!,
          from: ADDRESSES === 0 ? undefined : `127.0.1.${1 + index % ADDRESSES}`,
          token: tokenOf(people.userOf(index)),
          rooms
        })
        this.#members.push(member)
        if (people.isNamed(index)) this.#speakers.push({ member, room: rooms[0]! })
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  }

  /** Has users with names speak, so many a second, until it is called with 0. */
  async speak (perSecond: number): Promise<void> {
    clearInterval(this.#timer)
    if (perSecond > 0) this.#timer = every(() => { this.#say() }, 1_000 / perSecond)
  }

  #say (): void {
    const id = ++this.#said
    const { member, room } = this.#speakers[id * 7 % this.#speakers.length]!
    if (member.isOpen) member.send({ type: 'say', room, id: `m${id}`, data: { text: LINES[id % LINES.length] } })
  }

  async open (): Promise<number> { return this.#members.filter(({ isOpen }) => isOpen).length }
}

serve(new Loader())
