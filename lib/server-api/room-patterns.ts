import { matchPattern, type Pattern } from '../contract/names.js'

/** Rooms that a key may use: the segments of their names, `*` for any, which at the end is any one or more. */
export type RoomPattern = readonly string[]

/** The segment that stands for any. */
const ANY = '*'

export function roomPattern (text: string): RoomPattern { return text.split('/') }

function isLong (pattern: RoomPattern, size: number): boolean {
  return size === pattern.length || (size > pattern.length && pattern.at(-1) === ANY)
}

/** Whether the pattern stands for the room of this name. */
export function covers (pattern: RoomPattern, name: string): boolean {
  const segments = name.split('/')
  return isLong(pattern, segments.length) &&
    pattern.every((segment, index) => segment === ANY || segment === segments[index])
}

/** Whether the pattern stands for any room of a definition. */
export function canCover (pattern: RoomPattern, definition: Pattern): boolean {
  const { segments } = definition
  if (!isLong(pattern, segments.length)) return false
  const name = segments.map(({ param, value }, index) => {
    const own = pattern[index] ?? ANY
    return own !== ANY ? own : param ? 'any' : value
  })
  return matchPattern(definition, name.join('/')) !== undefined
}
