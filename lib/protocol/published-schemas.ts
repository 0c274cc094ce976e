import { familyOf } from '../contract/family.js'
import { isRecord, References, type Json } from './json-references.js'

/** Keywords whose values are data and not schemas. */
const VALUES = new Set(['const', 'enum', 'default', 'examples', 'required', 'type', 'dependentRequired'])
/** Keywords that hold schemas by name. */
const NAMED = new Set(['properties', 'patternProperties', 'dependentSchemas', 'dependencies'])
/** What stands in the components of the document, or says what the document says. */
const LEFT_OUT = new Set(['$id', '$schema', '$anchor', '$defs', 'definitions'])

/** What a generator of code calls the schema under a keyword, behind the name of the one around it. */
const SUFFIXES: Readonly<Record<string, string>> = {
  items: 'Item',
  prefixItems: 'Item',
  contains: 'Item',
  additionalProperties: 'Value',
  patternProperties: 'Value',
  anyOf: 'Option',
  oneOf: 'Option',
  allOf: 'Part'
}

/**
 * Gives each text a key of its own: documents allow letters, digits, `.`, `-` and `_`, which `chat/:id` and `chat/id`
 * have in common.
 */
export function keys (): (text: string) => string {
  const taken = new Set<string>()
  return (text) => {
    const wanted = text.replace(/[^A-Za-z0-9._-]+/g, '_')
    let key = wanted
    for (let i = 2; taken.has(key); i++) key = `${wanted}_${i}`
    taken.add(key)
    return key
  }
}

/** A name as generators of code write that of a class: `ChatIdSay` of `chat/:id` and `say`. */
export function titleOf (...words: readonly string[]): string {
  return words.join(' ').split(/[^A-Za-z0-9]+/).filter((word) => word !== '')
    .map((word) => word[0]!.toUpperCase() + word.slice(1)).join('')
}

/**
 * Schemas as plain JSON Schema within one document. What is referred to, and what has an `$id`, moves to the
 * components, where its references find it. Each object has a `title`, so that no model made of it is anonymous.
 */
export class PublishedSchemas {
  readonly components: Json = {}
  readonly #key = keys()
  readonly #known = new Map<string, string>()
  readonly #dialect: Dialect

  /** @param dialect of JSON Schema, that of the document */
  constructor (dialect: Dialect = ofDraft7) {
    this.#dialect = dialect
  }

  /** Adds a schema that is written already. @returns a reference to it */
  add (name: string, schema: Json): { readonly $ref: string } {
    const key = this.#key(name)
    this.components[key] = schema
    return { $ref: `#/components/schemas/${key}` }
  }

  /**
   * @param title for a schema that has none
   * @param io which side of a schema that changes data is told
   */
  publish (schema: unknown, title: string, io: 'input' | 'output'): unknown {
    // TypeBox keeps its kinds where JSON does not find them.
    const json: unknown = JSON.parse(JSON.stringify(jsonOf(schema, io), (_, value: unknown) =>
      value instanceof RegExp ? value.source : value))
    if (!isRecord(json)) return json
    const references = new References(json)
    const written = this.#schema(json, title, { references, root: json, title })
    return isRecord(written) && written.$ref === undefined ? { title, ...written } : written
  }

  #schema (node: unknown, title: string, at: Place): unknown {
    if (!isRecord(node)) return node
    if (typeof node.$id === 'string' && !node.$id.startsWith('#')) return this.#refer(node, node.$id, at)
    return this.#write(node, title, at)
  }

  /** Moves a schema to the components. The same one in several places is one; two that share their name are two. */
  #refer (node: Json, name: string, at: Place): Json {
    const own = JSON.stringify(node)
    const text = own.includes('"$ref"') ? JSON.stringify([own, at.root]) : own
    let key = this.#known.get(text)
    if (key === undefined) {
      key = this.#key(name)
      this.#known.set(text, key)
      // The key is known before what refers to it is written, which may be the schema itself.
      this.components[key] = undefined
      this.components[key] = this.#write(node, titleOf(name), at)
    }
    return { $ref: `#/components/schemas/${key}` }
  }

  #write (node: Json, title: string, at: Place): Json {
    const own = typeof node.title === 'string' ? node.title : title
    const out: Json = isObject(node) ? { title: own } : {}
    for (const [key, value] of Object.entries(node)) {
      if (LEFT_OUT.has(key) && typeof value !== 'boolean') continue
      if (key === '$ref') continue
      if (VALUES.has(key)) out[key] = value
      else if (NAMED.has(key) && isRecord(value)) {
        const suffix = SUFFIXES[key] ?? ''
        out[key] = Object.fromEntries(Object.entries(value).map(([name, each]) => [
          name,
          this.#schema(each, `${own}${suffix === '' ? titleOf(name) : suffix}`, at)
        ]))
      } else if (Array.isArray(value)) {
        out[key] = value.map((each, i) => this.#schema(each, `${own}${SUFFIXES[key] ?? ''}${i + 1}`, at))
      } else out[key] = this.#schema(value, `${own}${SUFFIXES[key] ?? titleOf(key)}`, at)
    }
    if (node.$ref === undefined) return this.#dialect(out)
    const target = at.references.resolve(node, own)
    const hint = String(node.$ref).split(/[/#]/).at(-1)!
    const ref = this.#refer(target, typeof target.$id === 'string' ? target.$id : hint === '' ? at.title : hint, at)
    const rest = Object.keys(out).filter((key) => key !== 'title' && key !== 'description')
    if (rest.length === 0) return ref
    return { ...this.#dialect(out), allOf: [ref, ...(out.allOf as unknown[] | undefined ?? [])] }
  }
}

/** The schema that is being written, within which references lead. */
interface Place {
  readonly references: References
  readonly root: Json
  readonly title: string
}

function isObject ({ type, properties }: Json): boolean {
  return properties !== undefined || type === 'object' || (Array.isArray(type) && type.includes('object'))
}

/** Writes a schema as its document reads it. */
export type Dialect = (schema: Json) => Json

/** AsyncAPI reads schemas as those of draft 7, which has one keyword for all lists of items. */
export function ofDraft7 ({ prefixItems, ...rest }: Json): Json {
  if (prefixItems === undefined) return rest
  const { items, ...others } = rest
  return { ...others, items: prefixItems, ...(items === undefined ? {} : { additionalItems: items }) }
}

/** OpenAPI 3.1 reads schemas as those of draft 2020-12, which has another keyword for lists of items. */
export function ofDraft2020 ({ additionalItems, ...rest }: Json): Json {
  const { items, ...others } = rest
  if (!Array.isArray(items)) return rest
  return { ...others, prefixItems: items, ...(additionalItems === undefined ? {} : { items: additionalItems }) }
}

/** How a Standard Schema tells what it is, where its library can. */
type JsonSchemaOf = Readonly<Record<'input' | 'output', (options: { target: string }) => unknown>>

/** A schema as JSON Schema; that of another library as far as the library can say it. */
function jsonOf (schema: unknown, io: 'input' | 'output'): unknown {
  if (familyOf(schema) !== 'standard-schema') return schema
  const { vendor, jsonSchema } = (schema as { '~standard': { vendor: string, jsonSchema?: JsonSchemaOf } })['~standard']
  try {
    const json = jsonSchema?.[io]({ target: 'draft-07' })
    if (json !== undefined) return json
  } catch { /** It has no form in JSON Schema. */ }
  return { 'x-schema': vendor }
}
