import { MAX_NAME, patternFault } from './names.js'
import type {
  Address, CheckEvents, CheckParams, Contract, Definition, EventSpecs, EventsOf, MemberOf, MessageSpecs, MessagesOf,
  ParamsOf, PathParams, SchemaLike
} from './types.js'

/** Registered, so that a definition made by one copy of the package is understood by another. */
const contract = Symbol.for('fastify-realtime.contract')

/** What a param may be; under the flag `u` only halves of surrogate pairs are characters of their own. */
// eslint-disable-next-line no-control-regex
const VALUE = /^(?!\.\.?$)[^\0-\x1f\x7f\ud800-\udfff]+$/u

function misuse (code: string, message: string): TypeError {
  return Object.assign(new TypeError(message), { code })
}

function fill (source: string, params: Record<string, unknown> | undefined): string {
  const name = source.split('/').map((segment) => {
    if (!segment.startsWith(':')) return segment
    const value = params?.[segment.slice(1)]
    if (typeof value === 'string' && VALUE.test(value)) return encodeURIComponent(value)
    throw misuse(
      'REALTIME_ERR_PARAM',
      `${segment} of "${source}" is a non-empty string without control characters and lone surrogates (not "." or ".."), got ${JSON.stringify(value)}`
    )
  }).join('/')
  if (name.length <= MAX_NAME) return name
  throw misuse('REALTIME_ERR_PARAM', `"${source}" makes a name of ${name.length} bytes, at most ${MAX_NAME} are allowed`)
}

/**
 * Declares a family of rooms, for the server and the client alike. Pure data: nothing is compiled or registered.
 *
 * @param name pattern such as `chat/:id`; params match one segment and are strings
 * @throws TypeError with code `REALTIME_ERR_PATTERN` when the pattern is malformed
 */
export function defineRoom<
  const N extends string,
  const P extends SchemaLike | undefined = undefined,
  const M extends MessageSpecs = {},
  const E extends EventSpecs = {},
  const D extends SchemaLike | undefined = undefined
> (
  name: N,
  spec: {
    /** Schema of the params. @default each param is a string */
    readonly params?: P
    /** What clients may send, by name. @default nothing */
    readonly messages?: M
    /** What the server may send, by name. @default nothing */
    readonly events?: E & CheckEvents<E>
    /** Schema of what others see of a member. @default nothing but the user's id */
    readonly member?: D
  } & CheckParams<N, P>
): Definition<N, ParamsOf<N, P>, MessagesOf<M>, EventsOf<E>, MemberOf<D>>
  & ([PathParams<N>] extends [never] ? Address<MessagesOf<M>, EventsOf<E>, MemberOf<D>> : unknown)
export function defineRoom (name: string, spec: Contract): unknown {
  const fault = patternFault(name)
  if (fault !== undefined) throw misuse('REALTIME_ERR_PATTERN', fault)
  return Object.freeze({
    name,
    [contract]: spec ?? {},
    at: (params?: Record<string, unknown>) => Object.freeze({ name: fill(name, params) })
  })
}

/** The schemas behind a definition; `undefined` when `value` was not made by `defineRoom`. */
export function contractOf (value: unknown): Contract | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  return (value as { [contract]?: Contract })[contract]
}
