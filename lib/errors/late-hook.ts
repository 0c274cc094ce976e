import { Refusal } from './refusal.js'

/**
 * Returns the refusal of who enters a room whose hook takes longer than a handler may: without an end to the wait, what
 * stands behind it in the order of the room would wait for ever.
 *
 * @param timeout milliseconds
 */
export function lateHook (hook: 'authorize' | 'onJoin' | 'presence', room: string, timeout: number): Refusal {
  return new Refusal('timeout', {
    room,
    why: {
      hook,
      limit: 'timeouts.handler',
      value: timeout,
      fix: `${hook} of the room takes longer than timeouts.handler: let it answer sooner, or raise that`
    }
  })
}
