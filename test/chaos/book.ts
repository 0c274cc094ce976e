/**
 * What was said and what was heard, and the difference. Every figure but the first four is 0 when all promises were
 * kept.
 */
export interface Result {
  readonly sent: number
  readonly acked: number
  readonly applied: number
  readonly delivered: number
  /** sends that ended in an error, with the reason of each */
  readonly rejected: readonly string[]
  readonly lost: number
  readonly duplicated: number
  readonly reordered: number
}

const ordered = (list: readonly number[]): number =>
  list.filter((value, index) => index > 0 && value < list[index - 1]!).length
const repeated = (list: readonly number[]): number => list.length - new Set(list).size

/** Keeps the books of a run. Numbers only: message n of a client, event n of a room. */
export class Book {
  /** by client: messages that were sent, acked by the server, and carried out by it in this order */
  readonly #sent = new Map<string, number>()
  readonly #acked = new Map<string, number[]>()
  readonly #applied = new Map<string, number[]>()
  /** by room: events that the server accepted */
  readonly #published = new Map<string, number[]>()
  /** by client and room: events in the order of their arrival */
  readonly #heard = new Map<string, { readonly room: string, readonly events: number[] }>()
  readonly #rejected: string[] = []

  sent (client: string): number {
    const n = (this.#sent.get(client) ?? 0) + 1
    this.#sent.set(client, n)
    return n
  }

  #add (map: Map<string, number[]>, key: string, n: number): void {
    const list = map.get(key)
    if (list === undefined) map.set(key, [n])
    else list.push(n)
  }

  acked (client: string, n: number): void { this.#add(this.#acked, client, n) }
  applied (client: string, n: number): void { this.#add(this.#applied, client, n) }
  published (room: string, n: number): void { this.#add(this.#published, room, n) }
  rejected (reason: string): void { this.#rejected.push(reason) }
  member (client: string, room: string): void { this.#heard.set(`${client} ${room}`, { room, events: [] }) }
  heard (client: string, room: string, n: number): void { this.#heard.get(`${client} ${room}`)!.events.push(n) }

  /** whether every member has heard every event, and every message was answered */
  get isSettled (): boolean {
    const answers = [...this.#acked.values()].reduce((sum, { length }) => sum + length, this.#rejected.length)
    const sent = [...this.#sent.values()].reduce((sum, n) => sum + n, 0)
    return answers >= sent &&
      [...this.#heard.values()].every(({ room, events }) => events.length >= (this.#published.get(room)?.length ?? 0))
  }

  get result (): Result {
    let [sent, acked, applied, delivered, lost, duplicated, reordered] = [0, 0, 0, 0, 0, 0, 0]
    for (const n of this.#sent.values()) sent += n
    for (const [client, list] of this.#acked) {
      acked += list.length
      const done = new Set(this.#applied.get(client))
      lost += list.filter((n) => !done.has(n)).length
    }
    for (const list of this.#applied.values()) {
      applied += list.length
      duplicated += repeated(list)
      reordered += ordered(list)
    }
    for (const { room, events } of this.#heard.values()) {
      delivered += events.length
      const heard = new Set(events)
      lost += (this.#published.get(room) ?? []).filter((n) => !heard.has(n)).length
      duplicated += repeated(events)
      reordered += ordered(events)
    }
    return { sent, acked, applied, delivered, rejected: this.#rejected, lost, duplicated, reordered }
  }
}
