import { isRoomName } from '../../contract/names.js'

/** Characters of a text that names something: a user, a connection, an id. */
const MAX_TEXT = 16_384
/** The last moment that a date can name, in Unix milliseconds. */
export const MAX_DATE = 8.64e15

export function isText (value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_TEXT
}

export function isName (value: unknown): value is string { return isText(value) && value !== '' }

export function isRoom (value: unknown): value is string { return typeof value === 'string' && isRoomName(value) }

export function isDate (value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= MAX_DATE
}
