import { isRecord, type Json } from './json-references.js'

/**
 * Why the newest values cannot be kept by this property; `undefined` when they can, or when the schema does not show
 * its properties.
 */
export function jsonKeyFault (schema: unknown, key: string): string | undefined {
  const verdict = verdictOf(schema, key, [])
  return typeof verdict === 'string' ? verdict : undefined
}

/** A fault, `true` for a schema that has the key or may have it, or `undefined` for one that says nothing of it. */
type Verdict = string | true | undefined

/** @param around names that the schemas around this one require */
function verdictOf (schema: unknown, key: string, around: readonly unknown[]): Verdict {
  if (!isRecord(schema)) return undefined
  const required = [...around, ...requiredOf(schema)]
  const within = (all: unknown): Verdict[] => Array.isArray(all)
    ? all.map((each) => verdictOf(each, key, required))
    : []
  // Where it leads is not looked up: what is meant may have the key.
  const own = schema.$ref === undefined ? ownVerdict(schema, key, required) : true
  const all = [own, ...within(schema.allOf), everyOf(within(schema.anyOf)), everyOf(within(schema.oneOf))]
  return all.includes(true) ? true : all.find((each) => each !== undefined)
}

/** What the alternatives say together, of which any may be the one that fits. */
function everyOf (verdicts: readonly Verdict[]): Verdict {
  return verdicts.find((each) => typeof each === 'string') ?? verdicts.find((each) => each !== undefined)
}

function requiredOf ({ required, allOf }: Json): unknown[] {
  const below = Array.isArray(allOf) ? allOf.filter(isRecord).flatMap(requiredOf) : []
  return Array.isArray(required) ? [...required as unknown[], ...below] : below
}

function ownVerdict ({ type, properties }: Json, key: string, required: readonly unknown[]): Verdict {
  if (type !== undefined && !([] as unknown[]).concat(type).includes('object')) {
    return 'and its schema is no object with properties'
  }
  if (!isRecord(properties)) return undefined
  if (!Object.hasOwn(properties, key)) {
    return `which its schema does not have (it has ${Object.keys(properties).join(', ') || 'no properties'})`
  }
  if (!required.includes(key)) {
    return 'which is optional: make it required, an event without it would replace nothing'
  }
  return isKeyable(properties[key])
    ? true
    : 'which is neither a string nor a number: keep the newest by a property that is'
}

/** Whether a property is a string or a number, as far as its own type and values show it. */
function isKeyable (property: unknown): boolean {
  if (!isRecord(property)) return true
  const { type = 'string', enum: values = [] } = property
  const all = [...values as unknown[], ...(Object.hasOwn(property, 'const') ? [property.const] : [])]
  return all.every((each) => typeof each === 'string' || typeof each === 'number') &&
    ([] as unknown[]).concat(type).every((kind) => kind === 'string' || kind === 'number' || kind === 'integer')
}
