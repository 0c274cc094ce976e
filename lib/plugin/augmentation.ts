/// <reference types="@fastify/jwt" preserve="true" />
/// <reference types="@fastify/websocket" preserve="true" />
import type { AnyAddress, AnyMessages, Definition, EventData, EventName } from '../contract/types.js'
import type { Position } from '../protocol/position.js'
import type { Rooms } from '../types/rooms.js'
import type { RoomOptions } from '../types/room-options.js'

/** The options of `app.room`. They may be omitted where the room has no messages to handle and no presence data. */
export type RoomOptionsArgument<P, M extends AnyMessages, E, D, This> = [keyof M] extends [never]
  ? [D] extends [undefined] ? [options?: RoomOptions<P, M, E, D, This>] : [options: RoomOptions<P, M, E, D, This>]
  : [options: RoomOptions<P, M, E, D, This>]

declare module 'fastify' {
  interface FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider> {
    /** Broadcasts, presence, revocations and the state of the node. */
    rooms: Rooms
    /**
     * Declares a family of rooms. `this` and the logger come from the calling scope; its prefix and hooks do not apply.
     */
    room<N extends string, P, M extends AnyMessages, E, D> (
      definition: Definition<N, P, M, E, D>,
      ...options: RoomOptionsArgument<
        P, M, E, D, FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>
      >
    ): FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>
  }
  interface FastifyContextConfig {
    /** Set on the routes of this plugin, for global hooks that should let them pass. */
    realtime?: boolean
  }
  interface FastifyReply {
    /**
     * Publishes an event once the reply has gone out with 2xx, and drops it otherwise. It excludes the connection that
     * `x-connection-id` names.
     */
    broadcast<R extends string | AnyAddress, K extends EventName<R>> (
      room: R,
      event: K,
      data: EventData<R, K>
    ): FastifyReply
    /**
     * Says in the header `x-realtime-position` up to which event of the room this answer holds its state, for
     * `room.snapshot` of the client. Call it before the state is read: then what is published meanwhile is in both, and
     * nothing in neither. Several rooms are named by several calls.
     *
     * @throws REALTIME_ERR_ROOM for a room without history, which has no position; a Refusal `unavailable` while the
     *   adapter's server is away
     */
    position (room: string | AnyAddress): Promise<Position>
  }
}
