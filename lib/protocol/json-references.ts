import { SchemaFault } from './checker.js'

export type Json = Record<string, unknown>

export function isRecord (value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Keywords whose values are data and not schemas. */
const VALUES = new Set(['const', 'enum', 'default', 'examples', 'required', 'type'])
/** Keywords that hold schemas by name. */
const NAMED = new Set(['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas', 'dependencies'])

/** The schemas directly within a schema. */
function childrenOf (schema: Json): Json[] {
  return Object.entries(schema).flatMap(([key, value]) => {
    if (VALUES.has(key) || typeof value !== 'object' || value === null) return []
    return (Array.isArray(value) ? value : NAMED.has(key) ? Object.values(value) : [value]).filter(isRecord)
  })
}

/**
 * What the references within one JSON Schema lead to. They stay within it: by a JSON pointer, an `$id` or an `$anchor`.
 */
export class References {
  /** Schemas that lead to themselves. */
  readonly recursive = new Set<Json>()
  /** Whether a keyword asks what other keywords have looked at. */
  isUnevaluated = false
  readonly #root: Json
  /** For each schema the one that it counts from: the nearest around it with an `$id` of its own. */
  readonly #bases = new Map<Json, Json>()
  readonly #ids = new Map<string, Json[]>()

  /** @throws SchemaFault for a reference that leads out of the schema, or nowhere */
  constructor (root: Json) {
    this.#root = root
    this.#index(root, root, new Set())
    this.#follow(root, new Set(), new Set())
  }

  /** @throws SchemaFault when it leads nowhere */
  resolve (from: Json, where: string): Json {
    const ref = from.$ref
    const found = typeof ref === 'string' ? this.#find(ref, this.#bases.get(from) ?? this.#root) : undefined
    if (found !== undefined) return found
    throw new SchemaFault(
      `${where} refers to ${JSON.stringify(ref)}, which is not within it: put what it means under $defs, and refer to it by "#/$defs/name"`
    )
  }

  #find (ref: string, base: Json): Json | undefined {
    const [id, fragment = ''] = ref.split('#', 2) as [string, string?]
    const from = id === '' ? base : this.#byId(id, base)
    if (from === undefined || fragment === '') return from
    if (!fragment.startsWith('/')) return this.#anchored(fragment, from)
    let node: unknown = from
    for (const step of fragment.slice(1).split('/')) {
      const key = decode(step)
      if (typeof node !== 'object' || node === null || !Object.hasOwn(node, key)) return undefined
      node = (node as Json)[key]
    }
    return isRecord(node) ? node : undefined
  }

  /** Where several schemas have the same `$id`, the one within the schema that refers to it is meant. */
  #byId (id: string, base: Json): Json | undefined {
    const all = this.#ids.get(id) ?? this.#ids.get(absolute(id, base.$id)) ?? []
    if (all.length < 2) return all[0]
    const texts = new Set(all.map((each) => JSON.stringify(each)))
    if (texts.size === 1) return all[0]
    throw new SchemaFault(`several parts of the schema have the $id "${id}": give each one of its own`)
  }

  #anchored (name: string, base: Json): Json | undefined {
    return [...this.#bases].find(([schema, own]) => own === base &&
      (schema.$anchor === name || schema.$id === `#${name}`))?.[0]
  }

  #index (schema: Json, base: Json, around: Set<Json>): void {
    if (around.has(schema)) throw new SchemaFault('a schema holds itself: let it refer to itself by $ref')
    if (this.#bases.has(schema)) return
    const { $id } = schema
    this.isUnevaluated ||= 'unevaluatedProperties' in schema || 'unevaluatedItems' in schema
    const own = typeof $id === 'string' && !$id.startsWith('#') ? schema : base
    this.#bases.set(schema, own)
    if (own === schema && typeof $id === 'string') {
      for (const id of new Set([$id, absolute($id, base.$id)])) this.#ids.set(id, [...this.#ids.get(id) ?? [], schema])
    }
    around.add(schema)
    for (const child of childrenOf(schema)) this.#index(child, own, around)
    around.delete(schema)
  }

  #follow (schema: Json, around: Set<Json>, done: Set<Json>): void {
    if (around.has(schema)) this.recursive.add(schema)
    if (done.has(schema)) return
    done.add(schema)
    around.add(schema)
    for (const child of childrenOf(schema)) this.#follow(child, around, done)
    if (schema.$ref !== undefined) this.#follow(this.resolve(schema, 'the schema'), around, done)
    around.delete(schema)
  }
}

function absolute (id: string, base: unknown): string {
  try {
    return new URL(id, typeof base === 'string' ? base : undefined).href
  } catch {
    return id
  }
}

function decode (step: string): string {
  let text = step
  try {
    text = decodeURIComponent(step)
  } catch { /** It is taken as it stands. */ }
  return text.replaceAll('~1', '/').replaceAll('~0', '~')
}
