import { keyFaultOf } from '../protocol/any-schema.js'

/** The parts of a schema that JSON Schema itself knows, whatever library has made it. */
interface Shape {
  readonly type?: unknown
  readonly properties?: Readonly<Record<string, Shape>>
  readonly anyOf?: readonly Shape[]
  readonly allOf?: readonly Shape[]
  readonly minLength?: number
  readonly minItems?: number
  readonly pattern?: string
}

/** The parts of a schema that are JSON Schema; a Standard Schema says them where its library can. */
function shapeOf (schema: unknown): Shape {
  const { '~standard': standard } = schema as { '~standard'?: { jsonSchema?: { output: (options: object) => unknown } } }
  if (standard === undefined) return schema as Shape
  try {
    return standard.jsonSchema?.output({ target: 'draft-07' }) as Shape | undefined ?? {}
  } catch {
    return {}
  }
}

/** The schemas of a property in all the alternatives and parts of a schema. */
function propertiesOf ({ properties, anyOf = [], allOf = [] }: Shape, name: string): Shape[] {
  const own = properties !== undefined && Object.hasOwn(properties, name) ? [properties[name]!] : []
  return [...own, ...[...anyOf, ...allOf].flatMap((each) => propertiesOf(each, name))]
}

/** What a property is that can grow: a string or a list; `undefined` when it is neither, or not the same everywhere. */
export function growthOf (schema: unknown, append: string): 'string' | 'array' | undefined {
  const [first, ...more] = propertiesOf(shapeOf(schema), append)
  if (first === undefined || more.some(({ type }) => type !== first.type)) return undefined
  return first.type === 'string' || first.type === 'array' ? first.type : undefined
}

/**
 * What is wrong with the declaration of an `append` event, in words that follow its name; `undefined` when nothing is.
 * Clients find the key as the first property of a frame's data and the text as the last one, which needs names that
 * JavaScript does not put in front of all others.
 */
export function appendFault (data: unknown, key: string | undefined, append: string | undefined): string | undefined {
  if (typeof key !== 'string') return 'and needs key: the property that tells its texts apart'
  if (typeof append !== 'string') return 'and needs append: the property that grows, a string or an array'
  if (key === append) return `and appends to its own key "${key}": name two properties`
  const number = [key, append].find((name) => /^\d+$/.test(name))
  if (number !== undefined) return `and has the property "${number}", a number: give it a name`
  const fault = keyFaultOf(data, key)
  if (fault !== undefined) return `with the key "${key}", ${fault}`
  const found = propertiesOf(shapeOf(data), append)
  if (found.length === 0) return `and appends to "${append}", which its schema does not have, or does not show`
  if (growthOf(data, append) === undefined) {
    return `and appends to "${append}", which is neither a string nor an array: only these can grow`
  }
  const bound = (['minLength', 'minItems', 'pattern'] as const).find((name) => found.some((each) => each[name] !== undefined))
  return bound === undefined
    ? undefined
    : `and appends to "${append}", whose schema has ${bound}: each part has to fit by itself, an empty one too; remove it`
}
