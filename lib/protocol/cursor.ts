import { EPOCH, isOffset, type Position } from './position.js'

/** Where a stream or poll stands in one room. The position is `undefined` in a room that keeps no history. */
export interface CursorEntry {
  position?: Position | undefined
  /** Sequence of the presence that the peer has seen. */
  presence?: number | undefined
  /** Highest version of a `latest` value that the peer has seen. */
  version?: number | undefined
  /** Version up to which the peer has seen the changes of texts. */
  grown?: number | undefined
  /** Of the texts that grew last: how much the peer has of each, by the version with which it began. */
  lengths?: ReadonlyMap<number, number> | undefined
  /** The server has said that the peer is out of the room; there is nothing else then. */
  isOut?: boolean | undefined
}

/**
 * The positions of a stream's or poll's rooms, in the order of `rooms`; peers get it as an opaque string. It is not
 * signed: authorisation runs again for each cursor, and only the client that had a connection knows its id.
 */
export interface Cursor {
  readonly connection: string
  readonly entries: readonly CursorEntry[]
}

const VERSION = '1'
/** Parts of a cursor before those of its rooms. */
const HEAD = 3
/** A room that the peer is out of; a node of an earlier version reads it as one without a place. */
const OUT = '-:'

/** Four bytes (FNV-1a) that tell the cursor of another list of rooms apart. */
export function hashRooms (rooms: readonly string[]): string {
  let hash = 0x811c9dc5
  const text = rooms.length === 1 ? rooms[0]! : rooms.join(' ')
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    hash ^= code
    hash = Math.imul(hash, 0x01000193)
    // Of the two halves of a character the first one counts alone, as it does on nodes of earlier versions.
    if (isHighHalf(code) && isLowHalf(text.charCodeAt(index + 1))) index++
  }
  return (hash >>> 0).toString(16).padStart(8, '0')
}

function isHighHalf (code: number): boolean { return code >= 0xd800 && code <= 0xdbff }

function isLowHalf (code: number): boolean { return code >= 0xdc00 && code <= 0xdfff }

/**
 * Writes the part of a cursor that is the same for a whole stream. It has 33 bytes, a multiple of three, so that the
 * base64 of a cursor is that of its two parts.
 *
 * @param rooms the hash of the list of rooms
 */
export function encodeStream (connection: string, rooms: string): string {
  return Buffer.from(`${VERSION}.${connection}.${rooms}`, 'latin1').toString('base64url')
}

/** Writes where a stream or poll stands in each of its rooms. */
export function placesOf (entries: readonly CursorEntry[]): string {
  let text = ''
  for (const { position, presence, version, grown, lengths, isOut } of entries) {
    if (isOut === true) {
      text += `.${OUT}`
      continue
    }
    text += position === undefined ? '.-' : `.${position.epoch}:${position.offset.toString(36)}`
    if (presence !== undefined || version !== undefined || grown !== undefined) {
      text += `:${presence?.toString(36) ?? ''}:${version?.toString(36) ?? ''}`
    }
    if (grown !== undefined) {
      text += `:${grown.toString(36)}`
      for (const [begun, length] of lengths ?? []) text += `:${begun.toString(36)}-${length.toString(36)}`
    }
  }
  return text
}

/** Writes the part of a cursor that moves with the events. */
export function encodePlaces (places: string): string { return Buffer.from(places, 'latin1').toString('base64url') }

/**
 * Writes a cursor as its opaque string.
 *
 * @param rooms the hash of the list of rooms; it is taken once per stream, because a cursor is written for every
 *   event
 */
export function encodeCursor (connection: string, rooms: string, entries: readonly CursorEntry[]): string {
  return encodeStream(connection, rooms) + encodePlaces(placesOf(entries))
}

function parseNumber (text: string | undefined): number | undefined | null {
  if (text === undefined || text === '') return undefined
  if (!/^[0-9a-z]{1,11}$/.test(text)) return null
  const value = Number.parseInt(text, 36)
  return isOffset(value) ? value : null
}

function parseEntry (text: string): CursorEntry | undefined {
  if (text === OUT) return { isOut: true }
  const parts = text.split(':')
  const bare = parts[0] === '-'
  const [presence, version, grown, ...lengths] = parts.slice(bare ? 1 : 2)
  const entry: CursorEntry = {}
  if (!bare) {
    const offset = parseNumber(parts[1])
    if (!EPOCH.test(parts[0] ?? '') || typeof offset !== 'number') return undefined
    entry.position = { epoch: parts[0]!, offset }
  }
  if (lengths.length > MAX_LENGTHS) return undefined
  const sequence = parseNumber(presence)
  const top = parseNumber(version)
  const change = parseNumber(grown)
  if (sequence === null || top === null || change === null || (lengths.length > 0 && change === undefined)) {
    return undefined
  }
  if (sequence !== undefined) entry.presence = sequence
  if (top !== undefined) entry.version = top
  if (change !== undefined) {
    const known = lengths.map((each) => each.split('-').map(parseNumber))
    if (known.some((each) => each.length !== 2 || !each.every(isOffset))) return undefined
    entry.grown = change
    if (known.length > 0) entry.lengths = new Map(known as Array<[number, number]>)
  }
  return entry
}

/** Texts that grow of which a cursor says how much the peer has; of others it gets the whole. */
export const MAX_LENGTHS = 4
/** Characters of a cursor, of 32 rooms in each of which texts grow. */
export const MAX_CURSOR = 8_192

/** The text of a cursor, taken apart; nothing in it is checked yet. */
export type CursorParts = readonly string[]

/** @returns `undefined` when it cannot be the text of a cursor */
export function partsOf (text: string): CursorParts | undefined {
  if (text.length > MAX_CURSOR || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined
  return Buffer.from(text, 'base64url').toString('latin1').split('.')
}

/** Returns the connection that a cursor says it is of. */
export function connectionOf (parts: CursorParts): string | undefined { return parts[1] }

/** @returns `undefined` when the text is malformed, truncated, or was made for another list of rooms */
export function decodeCursor (text: string, rooms: readonly string[]): Cursor | undefined {
  const parts = partsOf(text)
  return parts === undefined ? undefined : readParts(parts, rooms)
}

/** @returns `undefined` when a part is malformed or missing, or the cursor was made for another list of rooms */
export function readParts (parts: CursorParts, rooms: readonly string[]): Cursor | undefined {
  const [version, connection, hash] = parts
  if (version !== VERSION || connection === undefined || !isConnectionId(connection)) return undefined
  if (parts.length !== rooms.length + HEAD || hash !== hashRooms(rooms)) return undefined
  const entries = parts.slice(HEAD).map(parseEntry)
  if (!entries.every((entry) => entry !== undefined)) return undefined
  return { connection, entries }
}

/**
 * Whether a value has the form of a connection id: 16 random bytes in base64url, a secret between the server and its
 * own client.
 */
export function isConnectionId (value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9_-]{22}$/.test(value)
}

/**
 * Former connections of a client that are read at most. An event that excludes a connection may reach the client until
 * that has caught up, so there have to be as many as a client may have in a minute and more: one that loses a link
 * every two seconds has 32 in that time.
 */
export const MAX_FORMER = 32

/**
 * Lists the connections that a client had before this one, the last one first.
 *
 * @param given ids, or ids joined by commas; anything else is left out
 * @returns ids joined by commas, each once, at most `MAX_FORMER`; `undefined` when there is none
 */
export function formerOf (...given: readonly unknown[]): string | undefined {
  const [newest, others] = given
  if (others === undefined && given.length <= 2 && isConnectionId(newest)) return newest
  const ids = given.flatMap((each) => typeof each === 'string' ? each.split(',', MAX_FORMER) : []).filter(
    isConnectionId
  )
  // A cursor and a URL both name the newest one.
  return ids.length === 0 ? undefined : [...new Set(ids)].slice(0, MAX_FORMER).join()
}
