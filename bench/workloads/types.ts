import { PEERS } from '../peers.js'
import type { Fill, Population, Transport } from '../shared/messages.js'

export type Drive =
  /** closed loop: the next turns start when all members have what the last ones sent */
  | { readonly kind: 'rounds', readonly burst: number, readonly turns: number }
  /**
   * members speak, each again as soon as it is acked, or without ids as soon as its own event has come; or all together
   * so many messages per second
   */
  | { readonly kind: 'speak', readonly speakers: number, readonly hasIds: boolean, readonly perSecond?: number }
  | { readonly kind: 'rate', readonly perSecond: number }
  /** as `rounds`, but what is measured are the clients, which are those of the peers' own libraries */
  | { readonly kind: 'library', readonly turns: number }
  /** so many members join another room and leave it, again and again */
  | { readonly kind: 'churn', readonly movers: number }
  /** connections that are admitted, after so many others */
  | { readonly kind: 'upgrades', readonly before: number }
  /** all come back at once, and each has missed so many events */
  | { readonly kind: 'resume', readonly missed: number }
  /** from the start of the process to the first connection */
  | { readonly kind: 'start' }
  /** CPU of connections that do nothing, with so many milliseconds between two heartbeats */
  | { readonly kind: 'beats', readonly heartbeat: number }
  /** memory of idle connections, after so many others */
  | { readonly kind: 'idle', readonly before: number }
  /** memory of a room, of which each client has so many of its own */
  | { readonly kind: 'rooms', readonly own: number }
  /** memory of an event that is kept for those who come back */
  | { readonly kind: 'retained', readonly events: number }

/** What is aimed at: the cost of socket.io over ours at least, ours over that of others at most. */
export interface Goal {
  readonly socketio?: number
  readonly user?: number
  readonly uws?: number
  readonly loop?: number
  readonly writes?: number
}

export interface Workload extends Population {
  readonly id: string
  readonly group: string
  readonly title: string
  readonly drive: Drive
  /** ids of those that it is measured on */
  readonly peers: readonly string[]
  /** the one among them that is written by hand */
  readonly loop: string
  readonly transport: Transport
  readonly isSecure: boolean
  readonly compression: boolean
  readonly presence: boolean
  readonly recovery: boolean
  readonly flush: number
  readonly isLong: boolean
  /** milliseconds that are measured, where they are not those of all workloads */
  readonly measure: number | undefined
  /** events before all else, that nobody is there for */
  readonly fill: Fill | undefined
  /** the workload whose peers this one is held against, if not its own */
  readonly against: string
  readonly goal: Goal
}

export type Given = Partial<Omit<Workload, 'id' | 'title' | 'drive'>>

const EVERYBODY = PEERS.map(({ id }) => id)

/** A workload of WebSockets on all peers, but for what is given. */
export function workload (
  id: string,
  title: string,
  population: Population,
  drive: Drive,
  given: Given = {}
): Workload {
  return {
    ...population,
    id,
    group: id,
    title,
    drive,
    peers: EVERYBODY,
    loop: 'ws-bare',
    transport: 'websocket',
    isSecure: false,
    compression: false,
    presence: false,
    recovery: false,
    flush: 0,
    isLong: false,
    measure: undefined,
    fill: undefined,
    against: id,
    goal: {},
    ...given
  }
}

/** So many clients in one room. */
export const one = (clients: number): Population => ({ clients, rooms: 1, roomsPerClient: 1 })

/** One of three by the mode. */
export type Pick = <T>(full: T, quick: T, smoke: T) => T
