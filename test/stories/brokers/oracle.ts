import type { ClientRecord, Entry } from './client-record.js'
import type { Line } from './journal.js'
import type { Fate } from './sender.js'

/** What went wrong for whom, in words, by kind. All but `again` must be empty. */
export interface Verdict {
  /** accepted, within what its client believes to have, and never heard */
  readonly lost: string[]
  /** heard twice without a gap between, or not behind the client's position */
  readonly doubled: string[]
  /** heard twice with a gap between: the client has been told */
  readonly again: string[]
  /** heard behind a later event of the same publisher */
  readonly reordered: string[]
  /** of a room that the client is not in, or its own event that it was to be left out of */
  readonly foreign: string[]
  /** heard although its publisher was told for certain that it would not be */
  readonly denied: string[]
  /** a `latest` value that is not the newest, when everything has settled */
  readonly stale: string[]
  /** messages that took effect more than once */
  readonly twice: string[]
  /** messages that were acked and had no effect */
  readonly unheeded: string[]
}

export interface Evidence {
  readonly clients: ReadonlyArray<{ readonly user: string, readonly transport: string, readonly record: ClientRecord }>
  readonly journal: readonly Line[]
  readonly fates: ReadonlyMap<string, Fate>
}

export interface Counts {
  /** events that clients heard */
  readonly heard: number
  readonly accepted: number
  readonly refused: number
  readonly messages: number
  /** gaps and resumes that were answered with false */
  readonly told: number
}

type Accepted = Map<string, { readonly epoch: string, readonly offset: number }>

/** A run of positions of one epoch that a client believes to have whole. */
interface Stretch {
  readonly epoch: string
  readonly from: number
  to: number
  /** what follows `to` was said to be lost, or never asked for */
  isOpen: boolean
  /** how it went on from there, in words */
  next: string
  readonly excused: Array<readonly [from: number, to: number]>
}

const publisherOf = (id: string): string | undefined => /^[^:]+(?=:\d+$)/.exec(id)?.[0]

/** Where the client has everything, by what it was told. */
export function stretchesOf (entries: readonly Entry[]): Stretch[] {
  const done: Stretch[] = []
  let current: Stretch | undefined
  const begin = (entry: Entry, epoch: string, from: number, isTold: boolean): void => {
    if (current !== undefined) Object.assign(current, { isOpen: isTold, next: JSON.stringify(entry) })
    current = { epoch, from, to: from, isOpen: false, next: 'the end', excused: [] }
    done.push(current)
  }
  for (const entry of entries) {
    if (entry.is === 'entered') {
      const { asked, isResumed, position } = entry
      if (asked === undefined || !isResumed) begin(entry, position.epoch, position.offset, true)
      // What it passes over must be what it was to be left out of.
      else if (current?.epoch === position.epoch && current.to <= position.offset) current.to = position.offset
      else begin(entry, position.epoch, position.offset, false)
    } else if (entry.is === 'gap') {
      const { epoch, from, to } = entry
      if (from === undefined) begin(entry, epoch, to, true)
      else if (current?.epoch === epoch) {
        if (to > from) current.excused.push([from, to])
        current.to = Math.max(current.to, to)
      } else begin(entry, epoch, to, from !== to)
    } else if (entry.is === 'event' && current !== undefined) current.to = entry.position.offset
  }
  return done
}

/** Accepted events that a client should have heard: not what came of its own messages. */
function lostOf (user: string, entries: readonly Entry[], accepted: Accepted): string[] {
  const heard = new Set(entries.flatMap((entry) => entry.is === 'event' || entry.is === 'repeated' ? [entry.id] : []))
  const lost = new Map<string, string>()
  for (const { epoch, from, to, isOpen, next, excused } of stretchesOf(entries)) {
    for (const [id, position] of accepted) {
      if (position.epoch !== epoch || position.offset <= from) continue
      if (heard.has(id) || id.startsWith(`said-${user}-`)) continue
      if (isOpen && position.offset > to) continue
      if (excused.some(([start, end]) => position.offset > start && position.offset <= end)) continue
      lost.set(id, `${id} at ${epoch}:${position.offset}, who had ${from} to ${to}, then ${next}`)
    }
  }
  return [...lost.values()]
}

interface Order {
  readonly doubled: string[],
  readonly again: string[],
  readonly reordered: string[],
  told: number,
  heard: number
}

function orderOf (entries: readonly Entry[]): Order {
  const found: Order = { doubled: [], again: [], reordered: [], told: 0, heard: 0 }
  const seen = new Map<string, number>()
  const newest = new Map<string, number>()
  /** what it was told last, in words */
  let last = 'nothing'
  for (const entry of entries) {
    if (entry.is === 'gap' || entry.is === 'entered') {
      const isTold = entry.is === 'gap' ? entry.from !== entry.to : entry.asked !== undefined && !entry.isResumed
      if (isTold) found.told++
      last = JSON.stringify(entry)
    } else {
      found.heard++
      const { id, position: { epoch, offset } } = entry
      const before = seen.get(id)
      const where = `${id} at ${epoch}:${offset}`
      if (entry.is === 'repeated') found.doubled.push(`${where}, not behind the position`)
      else if (before !== undefined) {
        const kind = before < found.told ? found.again : found.doubled
        kind.push(`${where}, heard before, told of ${last}`)
      }
      seen.set(id, found.told)
      const publisher = publisherOf(id)
      if (publisher === undefined || before !== undefined) continue
      const n = Number(id.slice(publisher.length + 1))
      const top = newest.get(publisher) ?? 0
      if (n < top) found.reordered.push(`${where}, behind ${top}, told of ${last}`)
      newest.set(publisher, Math.max(n, top))
    }
  }
  return found
}

/** What was accepted in each room: what a publisher was told, and what anybody has heard. */
function acceptedOf ({ clients, journal }: Evidence): Map<string, Accepted> {
  const rooms = new Map<string, Accepted>()
  const note = (room: string, id: string, epoch: string, offset: number): void => {
    const events: Accepted = rooms.get(room) ?? new Map()
    if (!events.has(id)) events.set(id, { epoch, offset })
    rooms.set(room, events)
  }
  for (const line of journal) if (line.is === 'accepted') note(line.room, line.id, line.epoch, line.offset)
  for (const { record } of clients) {
    for (const [room, entries] of record.rooms) {
      for (const entry of entries) {
        if (entry.is === 'event') note(room, entry.id, entry.position.epoch, entry.position.offset)
      }
    }
  }
  return rooms
}

function effectsOf ({ journal, fates }: Evidence): Pick<Verdict, 'twice' | 'unheeded'> {
  const effects = new Map<string, string[]>()
  for (const line of journal) {
    if (line.is === 'effect') effects.set(line.message, [...effects.get(line.message) ?? [], line.node])
  }
  return {
    twice: [...effects].filter(([, nodes]) => nodes.length > 1)
      .map(([message, nodes]) => `${message} on ${nodes.join(', ')}`),
    unheeded: [...fates].filter(([message, fate]) => fate === 'acked' && !effects.has(message))
      .map(([message]) => message)
  }
}

function staleOf ({ clients, journal }: Evidence): string[] {
  const newest = new Map<string, { readonly room: string, readonly of: string, readonly value: number }>()
  for (const line of journal) {
    if (line.is === 'level' && line.of.endsWith('.mark')) newest.set(`${line.room} ${line.of}`, line)
  }
  return clients.flatMap(({ user, transport, record }) => [...newest.values()].flatMap(({ room, of, value }) => {
    if (!record.rooms.has(room)) return []
    const shown = record.levels.get(room)?.get(of)
    if (shown === value) return []
    return [`${user} by ${transport} in ${room} shows ${shown ?? 'nothing'} for ${of}, not ${value}`]
  }))
}

export function judge (evidence: Evidence): { verdict: Verdict, counts: Counts } {
  const { clients, journal, fates } = evidence
  const verdict: Verdict = {
    lost: [],
    doubled: [],
    again: [],
    reordered: [],
    foreign: [],
    denied: [],
    stale: staleOf(evidence),
    ...effectsOf(evidence)
  }
  // One node marks all rooms by the same name: what one of them refuses another may accept.
  const denied = new Map<string, string>()
  for (const line of journal) if (line.is === 'refused') denied.set(`${line.room} ${line.id}`, line.why)
  const accepted = acceptedOf(evidence)
  let [heard, told] = [0, 0]
  for (const { user, transport, record } of clients) {
    const who = (room: string) => (what: string): string => `${user} by ${transport} in ${room}: ${what}`
    verdict.foreign.push(...record.foreign.map(who('any room')))
    for (const [room, entries] of record.rooms) {
      const order = orderOf(entries)
      heard += order.heard
      told += order.told
      for (const kind of ['doubled', 'again', 'reordered'] as const) verdict[kind].push(...order[kind].map(who(room)))
      verdict.lost.push(...lostOf(user, entries, accepted.get(room) ?? new Map()).map(who(room)))
      for (const entry of entries) {
        const name = entry.is === 'event' ? `${room} ${entry.id}` : ''
        if (!denied.has(name)) continue
        verdict.denied.push(who(room)(`${name}, refused with ${denied.get(name)!}`))
        denied.delete(name)
      }
    }
  }
  const count = (is: Line['is']): number => journal.filter((line) => line.is === is).length
  return {
    verdict,
    counts: { heard, told, accepted: count('accepted'), refused: count('refused'), messages: fates.size }
  }
}
