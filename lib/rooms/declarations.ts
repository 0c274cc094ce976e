import { isRoomName, matchPattern, type Pattern } from '../contract/names.js'
import { REALTIME_ERR_ROOM, REALTIME_ERR_ROOM_UNKNOWN } from '../errors/misuse.js'
import { Refusal } from '../errors/refusal.js'
import type { Violation } from '../protocol/checker.js'
import type { Declaration } from './declaration.js'
import { parseNow } from './fitting.js'
import { describe } from './violations.js'

/** The declaration of a room, found by the room's name. */
export interface ResolvedRoom { readonly declaration: Declaration, readonly params: Readonly<Record<string, string>> }

/**
 * All declared families of rooms, found by name. A static segment wins over a parameter, and the first segment in which
 * two patterns differ decides.
 */
export class Declarations {
  readonly #bySize = new Map<number, Declaration[]>()
  readonly #shapes = new Map<string, string>()
  /** Whether a room that every user is in from the start is among them. */
  hasBuiltIn = false

  add (declaration: Declaration): void {
    const { pattern } = declaration
    const same = this.#shapes.get(pattern.shape)
    if (same !== undefined) {
      throw new REALTIME_ERR_ROOM(
        `"${pattern.source}" matches the same names as "${same}", which is declared; rename one, or declare it once with both contracts`
      )
    }
    this.#shapes.set(pattern.shape, pattern.source)
    if (declaration.builtIn !== undefined) this.hasBuiltIn = true
    const list = this.#bySize.get(pattern.segments.length) ?? []
    list.push(declaration)
    list.sort((a, b) => rank(a.pattern).localeCompare(rank(b.pattern)))
    this.#bySize.set(pattern.segments.length, list)
  }

  find (name: string): ResolvedRoom | undefined {
    let size = 1
    for (let i = 0; i < name.length; i++) if (name.charCodeAt(i) === 0x2f) size++
    for (const declaration of this.#bySize.get(size) ?? []) {
      const params = matchPattern(declaration.pattern, name)
      if (params !== undefined) return { declaration, params }
    }
    return undefined
  }

  /**
   * Finds the declaration of a room for a peer.
   *
   * @throws Refusal `room_invalid` or `room_unknown`
   */
  resolve (name: string): ResolvedRoom {
    if (!isRoomName(name)) throw new Refusal('room_invalid')
    const found = this.find(name)
    if (found === undefined) {
      throw new Refusal('room_unknown', { room: name, why: { declared: this.patterns.slice(0, 20) } })
    }
    const fitting = checked(found)
    if (!Array.isArray(fitting)) return fitting
    throw new Refusal('room_invalid', { message: `params do not fit: ${describe(fitting)}`, details: fitting })
  }

  /**
   * Finds the declaration of a room for the application, with an error that lists the rooms that it could have meant.
   *
   * @throws REALTIME_ERR_ROOM_UNKNOWN, or REALTIME_ERR_ROOM for params that do not fit
   */
  locate (name: string): ResolvedRoom {
    const found = isRoomName(name) ? this.find(name) : undefined
    if (found !== undefined) {
      const fitting = checked(found)
      if (!Array.isArray(fitting)) return fitting
      throw new REALTIME_ERR_ROOM(`"${name}": params do not fit their schema: ${describe(fitting)}`)
    }
    const known = this.#shapes.size === 0
      ? 'none yet: call app.room(definition) before the app is ready'
      : this.patterns.map((pattern) => `"${pattern}"`).join(', ')
    throw new REALTIME_ERR_ROOM_UNKNOWN(`no room "${name}" is declared (declared: ${known})`)
  }

  get patterns (): string[] { return [...this.#shapes.values()] }

  * values (): Generator<Declaration> {
    for (const list of this.#bySize.values()) yield * list
  }
}

function rank ({ segments }: Pattern): string {
  return segments.map(({ param }) => param ? '1' : '0').join('')
}

/**
 * Checks the params of a name by their schema, which may change them. A room that exists on this node has been checked
 * before.
 */
function checked (found: ResolvedRoom): ResolvedRoom | Violation[] {
  const { declaration, params } = found
  const schema = declaration.params
  if (schema === undefined) return found
  if (schema.parse === undefined) return schema.check(params) ? found : schema.violations(params)
  const parsed = parseNow(schema, params, `params of "${declaration.pattern.source}"`)
  return parsed.violations ?? { declaration, params: parsed.value as ResolvedRoom['params'] }
}
