import type { Contract, SchemaLike } from './contract/types.js'
import { parsePattern } from './contract/names.js'

export interface AsyncApiInfo { readonly title: string, readonly version: string }
export interface AsyncApiRoom { readonly pattern: string, readonly contract: Contract }

function plain (schema: SchemaLike | undefined): unknown {
  // TypeBox keeps its kinds under symbols, which JSON leaves out; an $id would have to be unique in the whole document.
  const { $id: _id, ...rest } = JSON.parse(JSON.stringify(schema ?? {})) as { $id?: string }
  return rest
}

function dataOf (spec: unknown): SchemaLike {
  const { data, type } = spec as { data?: SchemaLike, type?: unknown }
  return typeof data === 'object' && data !== null && type === undefined ? data : spec as SchemaLike
}

/** Keys of AsyncAPI components: letters, digits, `.`, `-` and `_`. */
function key (text: string): string { return text.replace(/[^A-Za-z0-9._-]+/g, '_') }

function frame (type: string, data: unknown, extra: Record<string, unknown> = {}): object {
  return {
    type: 'object',
    required: ['type', 'room'],
    properties: { type: { const: type }, room: { type: 'string' }, ...extra, data }
  }
}

/** AsyncAPI 3.0 of all declared rooms: messages of clients are operations that the server receives, events ones that it sends. */
export function asyncApi (rooms: Iterable<AsyncApiRoom>, { title, version }: AsyncApiInfo, prefix: string): object {
  const channels: Record<string, object> = {}
  const operations: Record<string, object> = {}
  const messages: Record<string, object> = {}
  for (const { pattern, contract } of rooms) {
    const channel = key(pattern)
    const own: Record<string, object> = {}
    const add = (name: string, type: string, payload: object): { $ref: string } => {
      messages[`${channel}.${name}`] = { name: type, contentType: 'application/json', payload }
      own[name] = { $ref: `#/components/messages/${channel}.${name}` }
      return { $ref: `#/channels/${channel}/messages/${name}` }
    }
    for (const [type, spec] of Object.entries(contract.messages ?? {})) {
      const { reply } = spec as { reply?: SchemaLike }
      const message = add(`message.${type}`, type, frame(type, plain(dataOf(spec)), { id: { type: 'string' } }))
      const ack = add(`ack.${type}`, 'ack', frame('ack', reply === undefined ? {} : plain(reply), { id: { type: 'string' } }))
      operations[`${channel}.receive.${type}`] = {
        action: 'receive',
        channel: { $ref: `#/channels/${channel}` },
        messages: [message],
        reply: { channel: { $ref: `#/channels/${channel}` }, messages: [ack] }
      }
    }
    for (const [type, spec] of Object.entries(contract.events ?? {})) {
      const message = add(`event.${type}`, type, frame(type, plain(dataOf(spec)), { offset: { type: 'integer' }, timestamp: { type: 'integer' } }))
      operations[`${channel}.send.${type}`] = { action: 'send', channel: { $ref: `#/channels/${channel}` }, messages: [message] }
    }
    const { params, segments } = parsePattern(pattern)
    channels[channel] = {
      address: `${prefix}/${segments.map(({ param, value }) => param ? `{${value}}` : value).join('/')}`,
      ...(params.length === 0 ? {} : { parameters: Object.fromEntries(params.map((name) => [name, { description: `the ${name} of the room, as encodeURIComponent writes it` }])) }),
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
    components: { messages, securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } }
  }
}
