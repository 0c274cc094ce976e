import type { Publication } from '../adapter.js'
import type { Lives } from './former-epochs.js'
import { node, reliable, live, said, textOf, type Node } from './host.js'
import type { ContractTest } from './suite.js'
import { until } from './until.js'

/** Milliseconds in which all nodes agree again. */
const SOON = 15_000

/**
 * Tries what becomes of `latest` values when the broker comes back with older data or none: all nodes soon agree on one
 * value of each key, what a node shows is put back, a removal stays one, and what is set after the loss wins over
 * everything from before it. The test takes some ten seconds, because it starts the broker again several times.
 */
export async function lostValues (t: ContractTest, { make, keep, putBack, lose }: Lives): Promise<void> {
  // One node has members, one has none, and one gets its first member after each loss.
  const [a, c] = [await node(t, make(), 'a'), await node(t, make(), 'c')]
  const all = [a, c]
  const rooms = [['chat/1', reliable], ['live/1', live]] as const
  for (const [room, settings] of rooms) await a.adapter.subscribe(room, settings)
  let count = 0
  const set = async ({ adapter }: Node, key: string, text: string, more: Partial<Publication> = {}): Promise<void> => {
    const idempotencyKey = `value ${++count}`
    const publication = said(text, { type: 'score', delivery: 'latest', key, idempotencyKey, ...more })
    for (const [room, settings] of rooms) {
      await until(`${key} ${text} is accepted`, async () => {
        await adapter.publish(room, publication, settings)
        return true
      })
    }
  }
  const isUp = async (): Promise<unknown> => await until(
    'all are back',
    () => all.every(({ adapter }) => adapter.stats!().isUp === true)
  )
  /** All that members and readers are shown, by every node. */
  const agree = async (what: string, wanted: readonly string[]): Promise<void> => {
    for (const [room, settings] of rooms) {
      for (const { adapter, host } of all) {
        const found = await until(`${what}: ${room} by ${host.nodeId}`, async () => {
          const kept = (await adapter.latest!(room, settings)).filter(({ event }) => event!.isRemoval !== true)
          const read = kept.map((packet) => `${packet.event!.key} ${textOf(packet)}`).sort()
          const shown = host === c.host ? read : host.shown(room)
          if (String(shown) === String(wanted) && String(read) === String(wanted)) return shown
          throw new Error(`shown ${String(shown)}, kept ${String(read)}`)
        }, SOON)
        t.same(found, wanted, what)
      }
    }
  }
  const enters = async (id: string): Promise<void> => {
    const next = await node(t, make(), id)
    for (const [room, settings] of rooms) {
      await until('the room is open', async () => {
        await next.adapter.subscribe(room, settings)
        return true
      })
      for (const packet of await next.adapter.latest!(room, settings)) next.host.event(room, packet)
    }
    all.push(next)
  }

  await set(c, 'red', '1')
  await set(c, 'green', '1')
  await set(c, 'white', '1')
  await agree('set', ['green 1', 'red 1', 'white 1'])
  await keep()
  await isUp()
  await set(c, 'red', '2')
  await set(c, 'blue', '1')
  await set(c, 'green', '', { removes: {} })
  await agree('set and removed', ['blue 1', 'red 2', 'white 1'])

  await putBack()
  await isUp()
  await enters('b')
  await agree('the broker has older data', ['blue 1', 'red 2', 'white 1'])
  await set(c, 'white', '2')
  await agree('set by who knew nothing', ['blue 1', 'red 2', 'white 2'])

  await lose()
  await set(c, 'red', '3')
  await isUp()
  await enters('d')
  await agree('the broker has no data', ['blue 1', 'red 3', 'white 2'])
  await set(a, 'blue', '2')
  await set(c, 'green', '2')
  await agree('set by all', ['blue 2', 'green 2', 'red 3', 'white 2'])

  const before = new Map(rooms.map(([room]) => [room, [...a.host.values(room)]]))
  await set(c, 'red', '4')
  await set(c, 'blue', '', { removes: {} })
  await agree('set and removed once more', ['green 2', 'red 4', 'white 2'])
  for (const { host } of all.slice(2)) host.stale = before
  await lose()
  await isUp()
  await agree('some nodes had missed the last values', ['green 2', 'red 4', 'white 2'])
}
