import { Kind, Type, type TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Errors, ValueErrorType } from '@sinclair/typebox/errors'
import { forgetting, MAX_VIOLATIONS, pointer, type Checker, type Violation } from './checker.js'
import { LISTED, weigh } from './large-values.js'
import { isJoint, isTest, prepare } from './schema.js'

/**
 * Compiles a schema, or interprets it under `--disallow-code-generation-from-strings`.
 *
 * @param limit bytes of the longest message that it will check, default 65 536
 * @throws SchemaFault for a schema that is unsafe or cannot work
 */
export function compile (schema: TSchema, limit = 65_536): Checker {
  const { schema: prepared, parts, size, forget } = prepare(schema, limit)
  for (const part of parts) if (part.schema !== undefined) part.check = checkOf(part.schema)
  const check = checkOf(prepared)
  const violations = new Violations(size)
  return forgetting(check, (value) => violations.of(prepared, value), forget)
}

/** Interprets a schema; finding errors gives the same answer as the interpreter of TypeBox, and takes longer. */
let interpret = (schema: TSchema, value: unknown): boolean => Errors(schema, value).First() === undefined

/** Loads the interpreter of TypeBox where code generation is forbidden; elsewhere it would only delay the start. */
export async function loadInterpreter (): Promise<void> {
  try {
    TypeCompiler.Compile(Type.Unknown())
  } catch {
    const { Value } = await import('@sinclair/typebox/value')
    interpret = (schema, value) => Value.Check(schema, value)
  }
}

function checkOf (schema: TSchema): (value: unknown) => boolean {
  try {
    const checker = TypeCompiler.Compile(schema)
    return (value) => checker.Check(value)
  } catch (error) {
    if (error instanceof EvalError) return (value) => interpret(schema, value)
    throw error
  }
}

/**
 * Lists what is wrong with a value in bounded time. In a large value it only tells which parts fail their own checks.
 */
class Violations {
  readonly #size: number
  readonly #checks = new Map<TSchema, (value: unknown) => boolean>()

  constructor (size: number) {
    this.#size = size
  }

  of (schema: TSchema, value: unknown): Violation[] {
    const found: Violation[] = []
    this.#look(schema, value, '', found)
    return found
  }

  #look (schema: TSchema, value: unknown, path: string, found: Violation[]): void {
    if (found.length >= MAX_VIOLATIONS) return
    if (isTest(schema)) {
      const part = schema.partOf?.(value)
      if (part?.schema !== undefined) this.#look(part.schema, value, path, found)
      else if (!schema.test(value)) found.push({ path, message: schema.says })
    } else if (weigh(value, LISTED / this.#size) <= LISTED / this.#size) this.#list(schema, value, path, found)
    else if (!this.#fits(schema, value)) this.#descend(schema, value, path, found)
  }

  #list (schema: TSchema, value: unknown, path: string, found: Violation[]): void {
    for (const error of Errors(schema, value)) {
      if (found.length >= MAX_VIOLATIONS) return
      if (error.type === ValueErrorType.Kind && isTest(error.schema)) {
        this.#look(error.schema, error.value, path + error.path, found)
      } else if (error.type !== ValueErrorType.Intersect || !isJoint(error.schema)) {
        found.push({ path: path + error.path, message: error.message })
      }
    }
  }

  /** Descends into the parts that do not fit, as long as the schema leaves only one way to read a part. */
  #descend (schema: TSchema, value: unknown, path: string, found: Violation[]): void {
    const before = found.length
    const kind: string = schema[Kind]
    if (kind === 'Array' && Array.isArray(value)) {
      for (let index = 0; index < value.length && found.length < MAX_VIOLATIONS; index++) {
        this.#part(schema.items as TSchema, value[index], pointer(path, index), found)
      }
    } else if (kind === 'Object' && typeof value === 'object' && value !== null) {
      for (const [name, property] of Object.entries(schema.properties as Record<string, TSchema>)) {
        if (Object.hasOwn(value, name)) {
          this.#part(property, (value as Record<string, unknown>)[name], pointer(path, name), found)
        } else if (((schema.required ?? []) as string[]).includes(name)) {
          found.push({ path: pointer(path, name), message: 'Expected required property' })
        }
      }
    } else if (kind === 'Intersect') {
      for (const each of schema.allOf as TSchema[]) this.#part(each, value, path, found)
    }
    if (found.length === before) {
      found.push({ path, message: 'Expected a value that fits; it is too large to say more' })
    }
  }

  #part (schema: TSchema, value: unknown, path: string, found: Violation[]): void {
    if (!this.#fits(schema, value)) this.#look(schema, value, path, found)
  }

  #fits (schema: TSchema, value: unknown): boolean {
    if (isTest(schema)) return schema.test(value)
    let check = this.#checks.get(schema)
    if (check === undefined) this.#checks.set(schema, check = checkOf(schema))
    return check(value)
  }
}
