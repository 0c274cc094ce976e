import { hash } from 'node:crypto'
import type { ClaimStore } from '../adapters/adapter.js'
import { refusalOfCall } from '../errors/misuse-refusal.js'
import { Refusal } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import type { Except } from '../protocol/except.js'
import { keyOf } from '../protocol/key.js'
import type { Position } from '../protocol/position.js'
import type { Hub } from '../rooms/hub.js'
import { leftOut } from '../rooms/left-out.js'
import { shape } from '../rooms/publications.js'
import type { Turns } from '../structures/turns.js'
import type { Call } from './calls.js'
import { outcomeOf } from './faults.js'
import { itemsOf, type Items } from './items.js'

export interface PublishingOptions {
  readonly hub: Hub
  /** Absent where the adapter keeps none: then nobody notices that one `Idempotency-Key` names two requests. */
  readonly claims: ClaimStore | undefined
  /** Name of this node among those that claim. */
  readonly holder: string
  /** Bytes of one event. */
  readonly eventLimit: number
  /** Milliseconds for which a request is held to run, after which another one under its key may have other content. */
  readonly lease: number
  readonly turns: Turns
  readonly onRefused: (call: Call, refusal: Refusal) => void
  readonly onFault: (call: Call, cause: unknown) => void
}

/** What became of one event. */
export type Result = { readonly position?: Position, readonly recipients: number } | { readonly error: object }

interface Item {
  readonly room: string
  readonly event: string
  readonly data: unknown
  readonly except: Except | undefined
  readonly once: string | undefined
}

type Settle = (outcome: 'done' | undefined) => Promise<void>

/** Rooms to which one request publishes at a time, each one event after the other. */
const ROOMS_AT_ONCE = 16
/** Characters of an `Idempotency-Key`, and of the key of one event, which may be made of the other. */
export const MAX_HEADER = 255
export const MAX_KEY = 1_024
const FIELDS = new Set(['room', 'event', 'data', 'except', 'idempotencyKey'])

/** Publishes what other programs send, one event or a list of them. */
export class ApiPublishing {
  readonly #options: PublishingOptions

  constructor (options: PublishingOptions) {
    this.#options = options
  }

  /**
   * @param text the body
   * @param header the request's `Idempotency-Key`
   * @throws Refusal of the whole request, and of an event that came alone; with it nothing was published
   */
  async publish (call: Call, text: string, header: string | undefined): Promise<Result[]> {
    const { turns, eventLimit } = this.#options
    const key = header === undefined ? undefined : checkKey(header, 'Idempotency-Key', MAX_HEADER)
    // What JSON escapes is up to three times as long as it is in UTF-8; the rest of an event fits into the spare.
    const { isList, items } = await itemsOf(text, 3 * eventLimit + 8_192, turns)
    call.caller.spend(items.length)
    const settle = key === undefined ? undefined : await this.#claim(call, key, text)
    try {
      const results = await this.#all(call, isList, items, key)
      await settle?.('done')
      return results
    } catch (error) {
      // What came alone and was refused may come again under the same key, mended, unless it may have happened.
      if (!(error instanceof Refusal) || error.outcome === undefined) await settle?.(undefined)
      throw error
    }
  }

  async #all (call: Call, isList: boolean, items: Items['items'], key: string | undefined): Promise<Result[]> {
    const results: Array<Result | undefined> = Array.from({ length: items.length })
    const lines = new Map<string, Array<{ readonly index: number, readonly item: Item }>>()
    const refuse = (index: number, error: unknown): Refusal => {
      const { refusal, cause } = refusalOfCall(error)
      if (cause !== undefined) this.#options.onFault(call, cause)
      if (!isList) throw refusal
      this.#options.onRefused(call, refusal)
      const { data, room } = refusal
      results[index] = { error: { ...data, ...(room === undefined ? {} : { room }), ...outcomeOf(refusal) } }
      return refusal
    }
    for (const [index, each] of items.entries()) {
      try {
        if (each instanceof Refusal) throw each
        const item = itemOf(each.value, key === undefined ? undefined : keyOf(call.caller.name, key, String(index)))
        const line = lines.get(item.room)
        if (line === undefined) lines.set(item.room, [{ index, item }])
        else line.push({ index, item })
      } catch (error) {
        refuse(index, error)
      }
    }
    const rooms = lines.values()
    await Promise.all(Array.from({ length: Math.min(ROOMS_AT_ONCE, lines.size) }, async () => {
      for (const line of rooms) {
        let isHeldUp = false
        for (const { index, item } of line) {
          try {
            // What may succeed when it is asked again must not be overtaken meanwhile.
            if (isHeldUp) throw heldUp(item.room)
            results[index] = await this.#one(call, item)
          } catch (error) {
            isHeldUp = refuse(index, error).data.retry !== 'never' || isHeldUp
          }
        }
      }
    }))
    return results as Result[]
  }

  async #one (call: Call, { room, event, data, except, once }: Item): Promise<Result> {
    const { hub, turns } = this.#options
    const rest = turns.step()
    if (rest instanceof Promise) await rest
    call.caller.checkRoom(room)
    hub.resolve(room)
    // The number of recipients tells who is in a room that is left out.
    for (const other of except?.others ?? []) if (other.room !== undefined) call.caller.checkRoom(other.room)
    await call.allow({ action: 'publish', room, event })
    const published = await hub.publish(room, event, data, {
      except,
      once,
      isForeign: true
    })
    call.caller.published++
    return shape(published)
  }

  /**
   * Holds a key to the content that it was used with first. What it has published already is known by its events' own
   * keys, so a request that is repeated runs again and adds nothing.
   *
   * @returns keeps that for the whole window, once the request has run; without an outcome, gives the key back
   * @throws Refusal `duplicate` for other content
   */
  async #claim ({ caller: { name } }: Call, key: string, text: string): Promise<Settle | undefined> {
    const { claims, holder, lease } = this.#options
    if (claims === undefined) return undefined
    // Of three parts, while the key of a message has two.
    const place = keyOf('@api', name, key)
    const owner = keyOf('@api', name)
    const content = hash('sha1', text, 'base64')
    const claim = await claims.claim(place, content, lease, owner, holder)
    if (claim.state === 'conflict') {
      throw new Refusal('duplicate', { message: 'this Idempotency-Key was used for another request' })
    }
    if (claim.state !== 'claimed') return undefined
    return async (outcome) => {
      try {
        await claims.settle(place, content, outcome, DEFAULTS.idempotency, owner, holder)
      } catch { /** The claim ends by itself. */ }
    }
  }
}

function heldUp (room: string): Refusal {
  return new Refusal('unavailable', {
    message: 'an event before this one in the same room was not published: it would overtake it',
    retryAfter: 1_000,
    room
  })
}

/** @throws Refusal `invalid_message`; REALTIME_ERR_OPTIONS and REALTIME_ERR_ROOM for who is left out */
function itemOf (value: unknown, derived: string | undefined): Item {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid('an event is an object: { room, event, data, except?, idempotencyKey? }')
  }
  const strange = Object.keys(value).find((field) => !FIELDS.has(field))
  if (strange !== undefined) {
    throw invalid(`"${strange.slice(0, 64)}" is no field of an event; there are ${[...FIELDS].join(', ')}`)
  }
  const { room, event, data, except, idempotencyKey } = value as Readonly<Record<string, unknown>>
  if (typeof room !== 'string') throw invalid('room is the name of a room')
  if (typeof event !== 'string') throw invalid('event is the name of an event')
  return {
    room,
    event,
    data,
    except: leftOut(except),
    once: idempotencyKey === undefined ? derived : checkKey(idempotencyKey, 'idempotencyKey', MAX_KEY)
  }
}

/** @throws Refusal `invalid_message` */
function checkKey (key: unknown, what: string, most: number): string {
  if (typeof key === 'string' && key !== '' && key.length <= most) return key
  throw invalid(`${what} is a text of 1 to ${most} characters`)
}

function invalid (message: string): Refusal { return new Refusal('invalid_message', { message }) }
