import type { MaybeRefOrGetter, Ref } from 'vue'
import type { AnyMessages } from '../contract/types.js'
import type { MaybeAddress, RoomView } from '../views/types.js'

/** The address of a room, also as a ref or a getter: then the room changes with it. `null` while there is none. */
export type AddressSource<M, E, D> = MaybeRefOrGetter<MaybeAddress<M, E, D>>

/** A room as a component sees it. */
export interface RoomRefs<M extends AnyMessages, E, D, K extends keyof E & string> {
  /** How far the room is. */
  readonly status: Readonly<Ref<RoomView<M, E, D, K>['status']>>
  /** Why the room has ended (`closed`: with the client), or why it is not joined yet, where the server has said so. */
  readonly error: Readonly<Ref<RoomView<M, E, D, K>['error']>>
  /** How often events of the room were lost. */
  readonly gaps: Readonly<Ref<number>>
  /** The newest events, the oldest first: as many as `last` says. */
  readonly events: Readonly<Ref<RoomView<M, E, D, K>['events']>>
  /**
   * Sends a message, as `send` of the client's room does. The room is not left before the answer is here, also when the
   * component is gone by then.
   */
  readonly send: RoomView<M, E, D, K>['send']
  /** Changes what the room shows of this user, as `presence` of the client's room does. */
  readonly presence: RoomView<M, E, D, K>['presence']
}
