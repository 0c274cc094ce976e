import { SchemaFault } from './checker.js'
import { FORMATS } from './formats.js'
import { stepsOf } from './regexp.js'

/** Steps that all expressions of a schema may take together on one message: a few milliseconds. */
const MOST_STEPS = 2_000_000
/** Alternatives of a union that may be tried on one message. */
const MOST_TRIES = 1_000_000
/** Up to so many alternatives are tried one after another even where a property tells them apart. */
export const FEW = 8

/** Counts the steps that the expressions of one schema may take on one message. */
export class Work {
  /** Bytes of a message. */
  readonly limit: number
  /** How many expressions, formats and unions there were that are safe only as often as was said. */
  counted = 0
  #steps = 0

  constructor (limit: number) {
    this.limit = limit
  }

  /**
   * @param times how many values of one message the expression may be tried on
   * @throws SchemaFault when the expression may take too long, or when no bound for it can be told
   */
  prove (source: string, flags: string, where: string, maxLength: number, times: number): RegExp {
    let expression: RegExp
    try {
      // With the flags `g` and `y` an expression would continue where its last match ended.
      expression = new RegExp(source, flags.replace(/[gy]/g, ''))
    } catch (error) {
      throw new SchemaFault(`${where}: ${(error as Error).message}`)
    }
    const steps = stepsOf(source, flags)
    if (steps === undefined) {
      throw new SchemaFault(
        `${where}: the expression /${source}/${flags} cannot be proved safe, a short string could stop the process: write it without back references, without looking back and without loops over what may be nothing, or check it in the handler`
      )
    }
    this.#spend(`the expression /${source}/${flags}`, steps, where, maxLength, times)
    return expression
  }

  /**
   * Makes the test of a format that this library knows, which ends with the length that such a text has.
   *
   * @returns undefined for a format that it does not know
   */
  format (
    name: string,
    where: string,
    maxLength: number | undefined,
    times: number
  ): ((value: unknown) => boolean) | undefined {
    const format = FORMATS.get(name)
    if (format === undefined) return undefined
    if (format.steps !== undefined) {
      this.#spend(
        `the format "${name}"`,
        format.steps,
        where,
        Math.min(maxLength ?? format.maxLength, format.maxLength),
        times
      )
    }
    return (value) => typeof value === 'string' && value.length <= format.maxLength && format.test(value)
  }

  /**
   * Accounts for alternatives of a union that are tried one after another.
   *
   * @param fix how the alternatives can be told apart
   * @throws SchemaFault where they may be tried too often
   */
  tries (alternatives: number, where: string, times: number, fix: string): void {
    if (alternatives <= FEW) return
    this.counted++
    if (alternatives * Math.min(times, this.limit / 3) <= MOST_TRIES) return
    throw new SchemaFault(
      `${where} has ${alternatives} alternatives that may be tried for each part of a message: ${fix}, or a maxItems to what is around them`
    )
  }

  #spend (what: string, steps: (length: number) => number, where: string, maxLength: number, times: number): void {
    // What is tried on nothing costs nothing, also where one try would take for ever.
    const cost = (length: number): number => times === 0
      ? 0
      : Math.min(times, Math.max(1, this.limit / (length + 3))) * steps(Math.min(length, this.limit))
    this.counted++
    // In this direction a bound that is no number is refused, too.
    if (!(this.#steps + cost(maxLength) <= MOST_STEPS)) {
      let most = Math.min(maxLength, this.limit)
      while (most > 0 && this.#steps + cost(most) > MOST_STEPS) most = Math.floor(most / 2)
      throw new SchemaFault(
        `${where}: ${what} may take ${cost(maxLength).toExponential(0)} steps on one message${most > 0 ? `; lower maxLength from ${maxLength} to ${most}, or write` : '; write'} it so that it begins with ^ and each character can go on in one way only, without loops over the same characters within or behind each other`
      )
    }
    this.#steps += cost(maxLength)
  }
}

/** How many items of arrays one message may have, where no array with more than `maxItems` is looked into. */
export function itemsOf (maxItems: unknown, times: number): number {
  if (typeof maxItems !== 'number') return Infinity
  return maxItems > 0 ? times * maxItems : 0
}

/** How to mend a pattern that could be tried on a text of any length. */
export function noLength (where: string): SchemaFault {
  return new SchemaFault(
    `${where} has a pattern and no maxLength: add maxLength, a pattern is only safe on short strings`
  )
}

/** @throws SchemaFault for a format that nobody can check */
export function unknownFormat (name: string, where: string, fix: string): SchemaFault {
  return new SchemaFault(
    `${where} has the format "${name}", which nobody knows: ${fix}use one of ${[...FORMATS.keys()].sort().join(', ')}`
  )
}

const BOUNDS = [
  ['minLength', 'maxLength'],
  ['minItems', 'maxItems'],
  ['minProperties', 'maxProperties'],
  ['minimum', 'maximum'],
  ['minContains', 'maxContains']
] as const

/** @throws SchemaFault for bounds that contradict each other */
export function checkBounds (schema: Readonly<Record<string, unknown>>, where: string): void {
  for (const [least, most] of BOUNDS) {
    const [from, to] = [schema[least], schema[most]]
    if (typeof from === 'number' && typeof to === 'number' && from > to) {
      throw new SchemaFault(`${where}: nothing can match ${least} ${from} and ${most} ${to}`)
    }
  }
  if (schema.type === 'array' && typeof schema.minContains === 'number' && typeof schema.maxItems === 'number' &&
    schema.minContains > schema.maxItems) {
    throw new SchemaFault(
      `${where}: nothing can match minContains ${schema.minContains} and maxItems ${schema.maxItems}`
    )
  }
}

/** Kinds that JSON cannot carry, and what to use in their place. */
const NOT_JSON: ReadonlyMap<string, string> = new Map(Object.entries({
  Date: 'send a time as Type.String({ format: \'date-time\' }) or as Type.Integer() of milliseconds',
  Uint8Array: 'send bytes as Type.String({ format: \'byte\' }) in base64',
  BigInt: 'send it as Type.String({ pattern: \'^-?[0-9]+$\', maxLength: 40 })',
  Function: 'send a name, and look the function up by it',
  Constructor: 'send a name, and look the class up by it',
  Symbol: 'send a name as Type.String()',
  Undefined: 'make the property Type.Optional(...), or send Type.Null()',
  Void: 'leave the reply out, or send Type.Null()',
  Promise: 'await it, and send what it resolves with',
  Iterator: 'send an array, or one event for each value',
  AsyncIterator: 'send one event for each value'
}))

/** @throws SchemaFault for a kind of TypeBox whose values JSON cannot carry */
export function checkCarried (kind: string, where: string): void {
  const fix = NOT_JSON.get(kind)
  if (fix !== undefined) throw new SchemaFault(`${where} is Type.${kind}, which JSON cannot carry: ${fix}`)
}
