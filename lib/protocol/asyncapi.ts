import { dataOf, familyOf, isSpec } from '../contract/family.js'
import { parsePattern } from '../contract/names.js'
import type { Contract } from '../contract/types.js'

export interface AsyncApiInfo { readonly title: string, readonly version: string }
export interface AsyncApiRoom { readonly pattern: string, readonly contract: Contract }

interface Ref { readonly $ref: string }
const STRING = { type: 'string' } as const
const SECURITY: readonly Ref[] = [{ $ref: '#/components/securitySchemes/bearer' }]

/**
 * Gives each text a key of its own: AsyncAPI allows letters, digits, `.`, `-` and `_`, which `chat/:id` and `chat/id`
 * have in common.
 */
function keys (): (text: string) => string {
  const taken = new Set<string>()
  return (text) => {
    const wanted = text.replace(/[^A-Za-z0-9._-]+/g, '_')
    let key = wanted
    for (let i = 2; taken.has(key); i++) key = `${wanted}_${i}`
    taken.add(key)
    return key
  }
}

/**
 * Schemas as plain JSON. One with an `$id` moves to the components, so that what refers to it (a recursive schema to
 * itself) finds it in this document, and so that no `$id` stands in it twice.
 */
class Schemas {
  readonly components: Record<string, unknown> = {}
  readonly #key = keys()
  readonly #known = new Map<string, string>()

  /** @param io which side of a schema that changes data is told */
  plain (schema: unknown, io: 'input' | 'output'): unknown {
    // TypeBox keeps its kinds under symbols, which JSON leaves out.
    const json: unknown = JSON.parse(JSON.stringify(jsonOf(schema, io), (_, value: unknown) =>
      value instanceof RegExp ? value.source : value))
    const ids = new Map<string, string>()
    const fresh: Array<[key: string, schema: object]> = []
    this.#collect(json, ids, fresh)
    for (const [key, found] of fresh) this.components[key] = this.#rewrite(found, ids, true)
    return this.#rewrite(json, ids)
  }

  #collect (node: unknown, ids: Map<string, string>, fresh: Array<[string, object]>): void {
    if (typeof node !== 'object' || node === null) return
    const { $id } = node as { $id?: unknown }
    if (typeof $id === 'string') {
      // The same schema in several messages is one; two that only share their $id are two.
      const text = JSON.stringify(node)
      let key = this.#known.get(text)
      if (key === undefined) {
        key = this.#key($id)
        this.#known.set(text, key)
        fresh.push([key, node])
      }
      ids.set($id, key)
    }
    for (const value of Object.values(node)) this.#collect(value, ids, fresh)
  }

  #rewrite (node: unknown, ids: ReadonlyMap<string, string>, isComponent = false): unknown {
    if (Array.isArray(node)) return node.map((item) => this.#rewrite(item, ids))
    if (typeof node !== 'object' || node === null) return node
    const { $id } = node as { $id?: unknown }
    const refer = (id: string): string => `#/components/schemas/${ids.get(id)!}`
    if (typeof $id === 'string' && !isComponent) return { $ref: refer($id) }
    return Object.fromEntries(Object.entries(node)
      .filter(([name, value]) => name !== '$id' || typeof value !== 'string')
      .map(([name, value]) => [
        name,
        name === '$ref' && typeof value === 'string' && ids.has(value) ? refer(value) : this.#rewrite(value, ids)
      ]))
  }
}

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

/** How a Standard Schema tells what it is, where its library can. */
type JsonSchemaOf = Readonly<Record<'input' | 'output', (options: { target: string }) => unknown>>

/** What a frame of an `append` event says: `data` has a part of the text, behind `from` of it. */
const APPENDED = {
  from: { type: 'integer', description: 'length of the text before this part, in UTF-16 code units or items' },
  end: {
    description: 'the text has ended',
    anyOf: [
      { enum: ['done', 'lost'] },
      { type: 'object', required: ['code', 'message'], properties: { code: STRING, message: STRING } }
    ]
  }
} as const

/** What asks for a whole text, where parts of it are missing. */
const READ = {
  type: 'object',
  required: ['event', 'key'],
  properties: { event: STRING, key: STRING }
} as const

function isAppended (spec: unknown): boolean { return (spec as { delivery?: unknown }).delivery === 'append' }

function frame (type: string, required: readonly string[], properties: Record<string, unknown>): object {
  return {
    type: 'object',
    required: ['type', ...required],
    properties: { type: { const: type }, room: STRING, ...properties }
  }
}

/**
 * AsyncAPI 3.0 of all declared rooms: messages of clients are operations that the server receives and answers with an
 * ack, events ones that it sends.
 *
 * @param prefix of the plugin's URLs
 */
export function asyncApi (rooms: Iterable<AsyncApiRoom>, { title, version }: AsyncApiInfo, prefix: string): object {
  const channels: Record<string, object> = {}
  const operations: Record<string, object> = {}
  const messages: Record<string, object> = {}
  const schemas = new Schemas()
  const channelKey = keys()
  for (const { pattern, contract } of rooms) {
    const channel = channelKey(pattern)
    const self: Ref = { $ref: `#/channels/${channel}` }
    const own: Record<string, Ref> = {}
    const messageKey = keys()
    const add = (kind: string, type: string, name: string, payload: object): {
      readonly key: string
      readonly ref: Ref
    } => {
      const key = messageKey(`${kind}.${type}`)
      messages[`${channel}.${key}`] = { name, contentType: 'application/json', payload }
      own[key] = { $ref: `#/components/messages/${channel}.${key}` }
      return { key, ref: { $ref: `#/channels/${channel}/messages/${key}` } }
    }
    for (const [type, spec] of Object.entries(contract.messages ?? {})) {
      const { reply, concurrent } = isSpec(spec) ? spec as { reply?: unknown, concurrent?: boolean } : {}
      const message = add(
        'message',
        type,
        type,
        frame(type, ['room'], { id: STRING, data: schemas.plain(dataOf(spec), 'input') })
      )
      const ack = add(
        'ack',
        type,
        'ack',
        frame('ack', [], { id: STRING, ...(reply === undefined ? {} : { data: schemas.plain(reply, 'output') }) })
      )
      operations[`${channel}.receive.${message.key}`] = {
        action: 'receive',
        channel: self,
        messages: [message.ref],
        ...(concurrent === true ? { description: 'It does not wait behind other messages of the connection.' } : {}),
        reply: { channel: self, messages: [ack.ref] },
        security: SECURITY
      }
    }
    for (const [type, spec] of Object.entries(contract.events ?? {})) {
      const place = isAppended(spec) ? APPENDED : { offset: { type: 'integer' }, ack: STRING }
      const event = add('event', type, type, frame(type, ['room'], {
        ...place,
        timestamp: { type: 'integer' },
        data: schemas.plain(dataOf(spec), 'output')
      }))
      operations[`${channel}.send.${event.key}`] = {
        action: 'send',
        channel: self,
        messages: [event.ref],
        security: SECURITY
      }
    }
    if (Object.values(contract.events ?? {}).some(isAppended)) {
      const read = add('message', 'read', 'read', frame('read', ['room', 'data'], { id: STRING, data: READ }))
      operations[`${channel}.receive.${read.key}`] = {
        action: 'receive',
        channel: self,
        messages: [read.ref],
        security: SECURITY
      }
    }
    const { params, segments } = parsePattern(pattern)
    channels[channel] = {
      title: pattern,
      address: `${prefix}/${segments.map(({ param, value }) => param ? `{${value}}` : value).join('/')}`,
      ...(params.length === 0
        ? {}
        : {
            parameters: Object.fromEntries(params.map((name) => [
              name,
              { description: `the ${name} of the room, as encodeURIComponent writes it` }
            ]))
          }),
      messages: own,
      bindings: { ws: { method: 'GET', bindingVersion: '0.1.0' } }
    }
  }
  return {
    asyncapi: '3.0.0',
    info: { title, version },
    defaultContentType: 'application/json',
    channels,
    operations,
    components: {
      messages,
      schemas: schemas.components,
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } }
    }
  }
}
