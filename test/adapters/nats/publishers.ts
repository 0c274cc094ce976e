import type { RoomSettings } from '../../../lib/adapters/adapter.js'
import { said, type Node } from '../../../lib/adapters/contract/host.js'
import { until } from '../../helpers/servers.js'

export interface Publishers {
  /** The texts that were accepted. */
  readonly accepted: readonly string[]
  /** Resolves when each node's last publish was accepted. */
  stop (): Promise<void>
}

/**
 * Publishes on each node, one event after another, until it is stopped. What is refused is published again under its
 * key.
 *
 * @param deadline milliseconds within which one event has to be accepted
 */
export function publishFrom (
  nodes: readonly Node[],
  room: string,
  settings: RoomSettings,
  deadline: number
): Publishers {
  const accepted: string[] = []
  const publishing = { isOn: true }
  const publishers = nodes.map(async ({ adapter }, name) => {
    for (let index = 0; publishing.isOn; index++) {
      const text = `${name} ${index}`
      await until(
        `"${text}" is accepted`,
        async () => await adapter.publish(room, said(text, { idempotencyKey: text }), settings),
        deadline
      )
      accepted.push(text)
    }
  })
  return {
    accepted,
    stop: async () => {
      publishing.isOn = false
      await Promise.all(publishers)
    }
  }
}
