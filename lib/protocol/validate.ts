import type { TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Value } from '@sinclair/typebox/value'

export interface Violation { readonly path: string, readonly message: string }

/** A schema made ready once, at declaration. */
export interface Checker {
  check (value: unknown): boolean
  /** the first violations; slow, so asked for only after a failed check */
  violations (value: unknown): Violation[]
}

const MAX_VIOLATIONS = 5

/** Compiled where code generation is allowed, interpreted under `--disallow-code-generation-from-strings`. */
export function compile (schema: TSchema): Checker {
  const check = compiled(schema) ?? ((value: unknown) => Value.Check(schema, value))
  return {
    check,
    violations (value) {
      const found: Violation[] = []
      for (const error of Value.Errors(schema, value)) {
        found.push({ path: error.path, message: error.message })
        if (found.length === MAX_VIOLATIONS) break
      }
      return found
    }
  }
}

function compiled (schema: TSchema): ((value: unknown) => boolean) | undefined {
  try {
    const checker = TypeCompiler.Compile(schema)
    return (value) => checker.Check(value)
  } catch (error) {
    if (error instanceof EvalError) return undefined
    throw error
  }
}

function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

/**
 * What makes a schema dangerous on input from strangers: a `pattern` without `maxLength` (one 28-character string blocked the
 * event loop for 86 seconds). `undefined` when nothing does.
 */
export function schemaFault (schema: unknown, path = ''): string | undefined {
  if (!isRecord(schema)) return undefined
  if (typeof schema.pattern === 'string' && typeof schema.maxLength !== 'number') {
    return `${path === '' ? 'the schema' : path} has a pattern and no maxLength: add maxLength, a pattern is only safe on short strings`
  }
  for (const [key, child] of Object.entries(schema)) {
    if (key === 'const' || key === 'enum' || key === 'default' || key === 'examples') continue
    const fault = schemaFault(child, `${path}/${key}`)
    if (fault !== undefined) return fault
  }
  return undefined
}
