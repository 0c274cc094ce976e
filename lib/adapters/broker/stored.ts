/**
 * Values that nodes keep in a broker as JSON and read as input, because another application or another version of this
 * package may have written them. A malformed value counts as none, so that the next change repairs it. A value of a
 * newer form is left alone.
 */

/**
 * The newest form that this version reads; values of that form carry no version. A form that only adds fields keeps its
 * number.
 */
const VERSION = 1
/** Versions are small. In a map of times the name `v` may also be that of a connection. */
const MAX_VERSION = 1_000

/** `changed` is the sequence of the change from which the data is, if it is from one. */
export interface StoredUser { data?: unknown, changed?: number | undefined, readonly connections: Map<string, number> }
export interface StoredNamed { readonly userId: string, readonly data?: unknown }
export interface StoredChange {
  readonly sequence: number
  readonly joined: readonly StoredNamed[]
  readonly left: readonly StoredNamed[]
  readonly changed?: readonly StoredNamed[]
}
/** `recent` has the last changes, oldest first. */
export interface StoredPresence {
  sequence: number
  readonly users: Map<string, StoredUser>
  recent: readonly StoredChange[]
}
/** `holder` runs the message, until there is an outcome. */
export interface StoredClaim {
  readonly hash: string
  readonly until: number
  readonly outcome?: string
  readonly holder?: string
}
/** A value that was taken is absent. */
export interface StoredValue { readonly value?: string, readonly until: number }

type Fields = Readonly<Record<string, unknown>>

/** @returns `undefined` for anything but JSON; the value is never indexed by a name that a peer chose */
export function parseJson (text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** Whether a newer version of this package has written this value in a form that this version does not read. */
export function isNewer (text: string): boolean {
  // A list of thousands of members is not parsed twice for this.
  if (!text.includes('"v":')) return false
  const value = parseJson(text)
  if (!isFields(value) || typeof value.v !== 'number') return false
  return Number.isInteger(value.v) && value.v > VERSION && value.v < MAX_VERSION
}

export function isFields (value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isTime (value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}

function timesOf (value: unknown): Map<string, number> | undefined {
  if (!isFields(value)) return undefined
  const times = new Map<string, number>()
  for (const [name, until] of Object.entries(value)) {
    if (!isTime(until)) return undefined
    times.set(name, until)
  }
  return times
}

/** Holders of one limit, with the time at which each expires. */
export function decodeHolders (text: string): Map<string, number> | undefined { return timesOf(parseJson(text)) }

export function encodeHolders (holders: ReadonlyMap<string, number>): string {
  return JSON.stringify(Object.fromEntries(holders))
}

export function decodePresence (text: string): StoredPresence | undefined {
  const value = parseJson(text)
  if (!isFields(value) || !Number.isSafeInteger(value.sequence) || !isFields(value.users)) return undefined
  const users = new Map<string, StoredUser>()
  for (const [userId, user] of Object.entries(value.users)) {
    const connections = isFields(user) ? timesOf(user.connections) : undefined
    if (connections === undefined) return undefined
    const { data, changed } = user as Fields
    users.set(userId, {
      ...(data === undefined ? {} : { data }),
      ...(Number.isSafeInteger(changed) ? { changed: changed as number } : {}),
      connections
    })
  }
  return {
    sequence: value.sequence as number,
    users,
    recent: Array.isArray(value.recent) ? (value.recent as unknown[]).flatMap((each) => decodeChange(each) ?? []) : []
  }
}

function decodeNamed (value: unknown): StoredNamed[] | undefined {
  if (!Array.isArray(value)) return undefined
  const list: StoredNamed[] = []
  for (const each of value as unknown[]) {
    if (!isFields(each) || typeof each.userId !== 'string') return undefined
    list.push(each.data === undefined ? { userId: each.userId } : { userId: each.userId, data: each.data })
  }
  return list
}

export function decodeChange (value: unknown): StoredChange | undefined {
  if (!isFields(value) || !Number.isSafeInteger(value.sequence)) return undefined
  const [joined, left, changed] = [value.joined, value.left, value.changed].map(decodeNamed)
  if (joined === undefined || left === undefined) return undefined
  return { sequence: value.sequence as number, joined, left, ...(changed === undefined ? {} : { changed }) }
}

export function encodePresence ({ sequence, users, recent }: StoredPresence): string {
  const named = [...users].map(([userId, { data, changed, connections }]) => [
    userId,
    { data, changed, connections: Object.fromEntries(connections) }
  ] as const)
  return JSON.stringify({ sequence, users: Object.fromEntries(named), ...(recent.length === 0 ? {} : { recent }) })
}

export function decodeClaim (text: string): StoredClaim | undefined {
  const value = parseJson(text)
  if (!isFields(value)) return undefined
  const { hash, until, outcome, holder } = value
  if (typeof hash !== 'string' || !isTime(until) || (outcome !== undefined && typeof outcome !== 'string')) {
    return undefined
  }
  if (outcome !== undefined) return { hash, until, outcome }
  return typeof holder === 'string' ? { hash, until, holder } : { hash, until }
}

/** Unix time in milliseconds, as text. */
export function decodeTime (text: string): number | undefined {
  return /^\d{1,17}$/.test(text) ? Number(text) : undefined
}

/** A value that is kept for one `take`. */
export function decodeValue (text: string): StoredValue | undefined {
  const value = parseJson(text)
  if (!isFields(value)) return undefined
  const { value: kept, until } = value
  if (!isTime(until) || (kept !== undefined && typeof kept !== 'string')) return undefined
  return kept === undefined ? { until } : { value: kept, until }
}
