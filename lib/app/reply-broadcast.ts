import { finished } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Publication } from '../adapters/adapter.js'
import type { Readiness } from '../admission/readiness.js'
import { nameOf } from '../rooms/room-name.js'
import type { FailureLog } from '../errors/failure-log.js'
import { REALTIME_ERR_NOT_READY } from '../errors/misuse.js'
import { redactError, secretsOf } from '../errors/redact.js'
import { isId, type Except } from '../protocol/except.js'
import type { Declaration } from '../rooms/declaration.js'
import type { Hub } from '../rooms/hub.js'
import { Seldom } from '../structures/seldom.js'

interface Held { readonly name: string, readonly declaration: Declaration, readonly publication: Publication }

export interface ReplyBroadcastOptions {
  readonly userIdOf: (request: FastifyRequest) => string | undefined
  readonly readiness: Readiness
  readonly failures: FailureLog
}

const UNNAMED =
  'options.userId failed for request.user, so that a broadcast held for a reply goes to the connection of its sender too; let userId name those users, or return nothing'

const PASSED_BY =
  'a broadcast held for a reply was dropped: the reply was hijacked, or had been sent before, so that its hooks do not run; call app.rooms.broadcast there'

/**
 * `reply.broadcast`: an event that goes out with the reply. A handler that awaited the publication before its own reply
 * would announce what may still fail; one that awaited the reply would wait for itself.
 */
export function declareReplyBroadcast (
  app: FastifyInstance,
  hub: Hub,
  { userIdOf, readiness, failures }: ReplyBroadcastOptions
): void {
  const held = new WeakMap<FastifyReply, Held[]>()
  const seldom = new Seldom()

  app.decorateReply('broadcast', function (this: FastifyReply, room: unknown, event: string, data: unknown) {
    if (!readiness.isServing) throw new REALTIME_ERR_NOT_READY('reply.broadcast works from onReady until close')
    const name = nameOf(room)
    const { declaration } = hub.locate(name)
    // The event is prepared now, so that a mistake is thrown in the handler that made it.
    const entry = { name, declaration, publication: hub.publications.prepare(declaration, event, data) }
    const list = held.get(this)
    if (list !== undefined) list.push(entry)
    else {
      held.set(this, [entry])
      finished(this.raw, () => { dropped(this) })
    }
    return this
    // Fastify would have the decorator be of all its declared types at once.
  } as never)

  app.addHook('onSend', (request, reply, payload, done) => {
    const list = held.get(reply)
    if (list !== undefined) {
      held.delete(reply)
      if (reply.statusCode >= 200 && reply.statusCode <= 299) void release(list, exceptOf(request), request)
    }
    done(null, payload)
  })

  /** Tells of what is held for a reply that has ended without the hooks of Fastify. */
  function dropped (reply: FastifyReply): void {
    const list = held.get(reply)
    // A caller that has gone is no end of the reply: its handler may still send it.
    if (list === undefined || !reply.sent || reply.statusCode < 200 || reply.statusCode > 299) return
    held.delete(reply)
    if (seldom.due(PASSED_BY) === undefined) return
    const [{ name, publication: { type } }] = list as [Held]
    reply.log.warn({ room: name, event: type, dropped: list.length }, PASSED_BY)
  }

  /**
   * The caller's own connection, together with its user where the app knows one, so that a request cannot exclude the
   * connection of another user. `request.user` is the application's, and its `userId` may be made for users of another
   * shape: a request that has done its work does not fail for it.
   */
  function exceptOf (request: FastifyRequest): Except | undefined {
    const connection = request.headers['x-connection-id']
    if (!isId(connection)) return undefined
    let user: string | undefined
    try {
      user = userIdOf(request)
    } catch (error) {
      if (seldom.due(UNNAMED) !== undefined) request.log.warn({ err: redactError(error, secretsOf(request)) }, UNNAMED)
      return undefined
    }
    return user === undefined ? { connection } : { user, connection }
  }

  async function release (list: readonly Held[], except: Except | undefined, request: FastifyRequest): Promise<void> {
    for (const { name, declaration, publication } of list) {
      try {
        await hub.send(name, declaration, { ...publication, except, timestamp: Date.now() })
      } catch (error) {
        const event = publication.type
        failures.error(request.log, 'a broadcast held for a reply failed', error, { room: name, event })
      }
    }
  }
}
