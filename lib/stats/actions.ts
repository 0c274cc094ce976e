import { Refusal } from '../errors/refusal.js'
import type { Rooms } from '../types/rooms.js'
import { isFields } from './list-query.js'
import type { Overview } from './overview.js'

/** What an admin asks for: one connection is ended, one user is kept out, or one node is emptied. */
export type Action =
  | { readonly action: 'disconnect', readonly connection: string }
  | { readonly action: 'revoke', readonly user: string, readonly duration: number }
  | { readonly action: 'drain', readonly node: string }

/** Milliseconds for which a user is kept out, and the longest that can be asked for. */
const KEPT_OUT = 600_000
const LONGEST = 31_536_000_000
const MAX_TEXT = 1_024

function isName (value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_TEXT
}

/**
 * Reads the body of a request.
 *
 * @throws Refusal `invalid_message`
 */
export function actionOf (body: unknown): Action {
  const { action, connection, user, node, duration = KEPT_OUT } = isFields(body) ? body : {}
  if (action === 'disconnect' && isName(connection)) return { action, connection }
  if (action === 'drain' && isName(node)) return { action, node }
  if (action === 'revoke' && isName(user)) {
    if (Number.isInteger(duration) && (duration as number) > 0 && (duration as number) <= LONGEST) {
      return { action, user, duration: duration as number }
    }
    throw new Refusal('invalid_message', { message: `duration is milliseconds, at most ${LONGEST}` })
  }
  throw new Refusal('invalid_message', {
    message: 'an action is disconnect with connection, revoke with user and maybe duration, or drain with node'
  })
}

/**
 * Does what an admin asks for.
 *
 * @throws Refusal `room_unknown` when there is no such connection, `unavailable` when its node does not answer
 */
export async function act (action: Action, overview: Overview, rooms: Pick<Rooms, 'revoke'>): Promise<void> {
  if (action.action === 'disconnect') await overview.disconnect(action.connection)
  else if (action.action === 'drain') await overview.drain(action.node)
  else {
    const message = 'an administrator has revoked your access'
    await rooms.revoke({ user: action.user }, { message, until: Date.now() + action.duration })
  }
}
