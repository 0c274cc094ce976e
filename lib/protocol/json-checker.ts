import { forgetting, MAX_VIOLATIONS, pointer, type Checker, type Violation } from './checker.js'
import type { JsonTest, PreparedJson, Schema } from './json-schema.js'

/** What the checker of a family says is wrong, with the test where it was one of this library's. */
export interface Finding extends Violation {
  readonly test?: JsonTest
  /** The value that the test was given. */
  readonly value?: unknown
}

/** A schema that the checker of a family has compiled. */
export interface Compiled {
  check (value: unknown): boolean
  findings (value: unknown): Iterable<Finding>
}

/** Compiles a prepared schema and its parts by the checker of a family. */
export function checkerOf ({ schema, parts, forget }: PreparedJson, compile: (schema: Schema) => Compiled): Checker {
  const all = new Map<unknown, Compiled>()
  for (const part of parts) {
    const compiled = compile(part.schema!)
    all.set(part.schema, compiled)
    part.check = (value) => compiled.check(value)
  }
  const root = compile(schema)
  const violations = (value: unknown): Violation[] => {
    const found: Violation[] = []
    look(root, value, '', found)
    return found
  }
  return forgetting((value) => root.check(value), violations, forget)

  function look (compiled: Compiled, value: unknown, path: string, found: Violation[]): void {
    for (const { path: below, message, test, value: tested } of compiled.findings(value)) {
      if (found.length >= MAX_VIOLATIONS) return
      const part = test?.partOf?.(tested)
      if (part === undefined) found.push({ path: path + below, message })
      else look(all.get(part.schema)!, tested, path + below, found)
    }
  }
}

/** One finding for each property that is missing or too many, at its own path. */
export function * named (path: string, names: Iterable<string>, message: string): Generator<Finding> {
  for (const name of names) yield { path: pointer(path, name), message }
}
