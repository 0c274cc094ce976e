import { optional, string } from '../contract/build.js'
import { dataOf, isSpec } from '../contract/family.js'
import { parsePattern } from '../contract/names.js'
import type { Contract } from '../contract/types.js'
import { APPENDED, CLIENT_FRAMES, frameSchema, SERVER_FRAMES } from './frame-schemas.js'
import { keys, PublishedSchemas, titleOf } from './published-schemas.js'

export interface AsyncApiInfo { readonly title: string, readonly version: string }
export interface AsyncApiRoom { readonly pattern: string, readonly contract: Contract }

interface Ref { readonly $ref: string }
const SECURITY: readonly Ref[] = [{ $ref: '#/components/securitySchemes/bearer' }]
const BINDINGS = { ws: { method: 'GET', bindingVersion: '0.1.0' } }

/** The servers of a document, by what the host of its request was. */
export function asyncApiServers (host: string, isSecure: boolean): object {
  return {
    websocket: { host, protocol: isSecure ? 'wss' : 'ws', description: 'WebSocket', security: SECURITY },
    http: {
      host,
      protocol: isSecure ? 'https' : 'http',
      description: 'Server-Sent Events, long polls, and messages by POST',
      security: SECURITY
    }
  }
}

/**
 * AsyncAPI 3.0 of all declared rooms, without the servers: messages of clients are operations that the server receives
 * and answers with an ack, events ones that it sends. One more channel has the frames that every link carries.
 *
 * @param prefix of the plugin's URLs
 */
export function asyncApi (rooms: Iterable<AsyncApiRoom>, { title, version }: AsyncApiInfo, prefix: string): object {
  const document = new Document()
  for (const { pattern, contract } of rooms) document.room(pattern, contract, prefix)
  document.frames(prefix)
  const { channels, operations, messages, schemas } = document
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

/** The trace that a message belongs to; in an event only where the server is told to say it. */
const TRACE = optional(string({ description: 'W3C trace context' }))

/** One message of a channel, which is one kind of frame. */
interface Message {
  /** `message`, `ack`, `event` or `frame`. */
  readonly kind: string
  readonly type: string
  readonly name: string
  readonly title: string
  readonly fields: Readonly<Record<string, object>>
  readonly description?: string | undefined
}

class Document {
  readonly channels: Record<string, object> = {}
  readonly operations: Record<string, object> = {}
  readonly messages: Record<string, object> = {}
  readonly schemas = new PublishedSchemas()
  readonly #channelKey = keys()
  readonly #title = keys()

  room (pattern: string, contract: Contract, prefix: string): void {
    const channel = new Channel(this, this.#channelKey(pattern))
    const room = string()
    const id = optional(string())
    for (const [type, spec] of Object.entries(contract.messages ?? {})) {
      const { reply, concurrent } = isSpec(spec) ? spec as { reply?: unknown, concurrent?: boolean } : {}
      const name = this.title(pattern, type)
      const data = this.schemas.publish(dataOf(spec), `${name}Data`, 'input') as object
      const message = channel.add({
        kind: 'message',
        type,
        name: type,
        title: name,
        fields: { room, id, data, traceparent: TRACE }
      })
      const answer = reply === undefined
        ? {}
        : { data: this.schemas.publish(reply, `${name}Reply`, 'output') as object }
      const ack = channel.add({
        kind: 'ack',
        type,
        name: 'ack',
        title: `${name}Ack`,
        fields: { room: optional(room), id, ...answer }
      })
      channel.operate('receive', message, {
        ...(concurrent === true ? { description: 'It does not wait behind other messages of the connection.' } : {}),
        reply: { channel: channel.self, messages: [ack.ref] }
      })
    }
    for (const [type, spec] of Object.entries(contract.events ?? {})) {
      const name = this.title(pattern, type)
      const fields = {
        room,
        ...((spec as { delivery?: unknown }).delivery === 'append'
          ? APPENDED
          : { offset: optional({ type: 'integer' }), ack: optional(string()), reply: optional({ type: 'boolean' }) }),
        timestamp: { type: 'integer' },
        traceparent: TRACE,
        data: this.schemas.publish(dataOf(spec), `${name}Data`, 'output') as object
      }
      channel.operate('send', channel.add({ kind: 'event', type, name: type, title: name, fields }))
    }
    const { params, segments } = parsePattern(pattern)
    channel.close({
      title: pattern,
      address: `${prefix}/${segments.map(({ param, value }) => param ? `{${value}}` : value).join('/')}`,
      ...(params.length === 0
        ? {}
        : {
            parameters: Object.fromEntries(params.map((name) => [
              name,
              { description: `the ${name} of the room, as encodeURIComponent writes it` }
            ]))
          })
    })
  }

  /** The frames of the protocol itself. */
  frames (prefix: string): void {
    const channel = new Channel(this, this.#channelKey('connection'))
    for (const [action, side, all] of [
      ['receive', 'Client', CLIENT_FRAMES],
      ['send', 'Server', SERVER_FRAMES]
    ] as const) {
      for (const [type, { description, fields }] of Object.entries(all)) {
        const title = this.title(side, type)
        const named = Object.fromEntries(Object.entries(fields).map(([name, field]) => [
          name,
          name === 'data' ? this.#frameData(field, `${title}Data`) : field
        ]))
        const kind = side.toLowerCase()
        channel.operate(action, channel.add({ kind, type, name: type, title, fields: named, description }))
      }
    }
    channel.close({
      title: 'Every connection',
      description: 'Frames that each link carries, whatever its URL, beside the messages and events of its rooms.',
      address: prefix
    })
  }

  #frameData (field: object, title: string): object {
    return 'optional' in field
      ? optional(this.schemas.publish(field.optional, title, 'output') as object)
      : this.schemas.publish(field, title, 'output') as object
  }

  title (...words: readonly string[]): string { return this.#title(titleOf(...words)) }
}

class Channel {
  readonly self: Ref
  readonly #document: Document
  readonly #name: string
  readonly #own: Record<string, Ref> = {}
  readonly #key = keys()

  constructor (document: Document, name: string) {
    this.#document = document
    this.#name = name
    this.self = { $ref: `#/channels/${name}` }
  }

  add ({ kind, type, name, title, fields, description }: Message): { readonly key: string, readonly ref: Ref } {
    const key = this.#key(`${kind}.${type}`)
    this.#document.messages[`${this.#name}.${key}`] = {
      name,
      title,
      ...(description === undefined ? {} : { description }),
      contentType: 'application/json',
      payload: { title, ...frameSchema(kind === 'ack' ? 'ack' : type, fields) }
    }
    this.#own[key] = { $ref: `#/components/messages/${this.#name}.${key}` }
    return { key, ref: { $ref: `#/channels/${this.#name}/messages/${key}` } }
  }

  operate (action: 'receive' | 'send', { key, ref }: { readonly key: string, readonly ref: Ref }, more: object = {}): void {
    this.#document.operations[`${this.#name}.${action}.${key}`] = {
      action,
      channel: this.self,
      messages: [ref],
      ...more,
      security: SECURITY
    }
  }

  close (more: object): void {
    this.#document.channels[this.#name] = { ...more, messages: this.#own, bindings: BINDINGS }
  }
}
