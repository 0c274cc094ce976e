/** Somebody whom an event leaves out: one of the three is there. */
export interface LeftOut {
  /** The id of a connection. */
  readonly connection?: string
  /** The id of a user, all of whose connections are left out. */
  readonly user?: string
  /** The name of a room: who is in it when the event is offered is left out. */
  readonly room?: string
}

/** Whom an event leaves out. */
export interface Except {
  /** The user of the connection, where it is known: then both must match. */
  readonly user?: string
  /** The id of a connection. */
  readonly connection?: string
  /** Others who are left out: at most 32. */
  readonly others?: readonly LeftOut[]
}

/** Entries of a list of those who are left out, since it travels and is kept with the event. */
export const MAX_LEFT_OUT = 32

/** Characters of the id of a connection or user who is left out, since it travels and is kept with the event. */
const MAX_ID = 1_024

/** Whether it may name a connection or user. */
export function isId (value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_ID
}

/** Who an event would be offered to. */
export interface Offered {
  readonly userId: string
  /** Whether it is the connection, or was it before it came back. */
  isConnection (id: string): boolean
  isIn (room: string): boolean
}

export function isLeftOut ({ connection, user, others }: Except, who: Offered): boolean {
  if (connection !== undefined && who.isConnection(connection) && (user === undefined || user === who.userId)) {
    return true
  }
  if (others === undefined) return false
  for (const each of others) {
    if (each.user !== undefined) {
      if (each.user === who.userId) return true
    } else if (each.connection !== undefined) {
      if (who.isConnection(each.connection)) return true
    } else if (each.room !== undefined && who.isIn(each.room)) return true
  }
  return false
}
