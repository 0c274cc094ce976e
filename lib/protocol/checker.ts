/** What is wrong with a value, and where, as a JSON pointer. */
export interface Violation { readonly path: string, readonly message: string }

/** A schema that was compiled once, at the declaration, and that leaves what it checks as it is. */
export interface Checker {
  check (value: unknown): boolean
  /** The first violations. It is slow, so call it only after a failed check. */
  violations (value: unknown): Violation[]
  readonly parse?: undefined
}

/** What a schema has made of a value, or why the value does not fit. */
export type Parsed = {
  readonly value: unknown
  readonly violations?: undefined
} | { readonly violations: Violation[] }

/** A schema that may change what it checks, and may take its time. */
export interface Parser {
  readonly parse: (value: unknown) => Parsed | Promise<Parsed>
}

/** A schema of whatever family, ready to check values. */
export type Validator = Checker | Parser

export const MAX_VIOLATIONS = 5

/** Says where a schema is wrong and how to mend it. */
export class SchemaFault extends Error {}

/** One more step of a JSON pointer. */
export function pointer (path: string, key: PropertyKey): string {
  return `${path}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`
}

/**
 * Makes a checker that forgets after each call what its parts have found out about the value.
 *
 * @param forget absent where the parts remember nothing
 */
export function forgetting (
  check: (value: unknown) => boolean,
  violations: (value: unknown) => Violation[],
  forget: (() => void) | undefined
): Checker {
  if (forget === undefined) return { check, violations }
  const freed = <R>(step: (value: unknown) => R) => (value: unknown): R => {
    try {
      return step(value)
    } finally {
      forget()
    }
  }
  return { check: freed(check), violations: freed(violations) }
}
