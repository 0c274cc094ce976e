import type { Position } from '../../protocol/position.js'
import type { Adapter, RoomSettings } from '../adapter.js'
import { node, reliable, said, textOf } from './host.js'
import type { ContractTest } from './suite.js'
import { until } from './until.js'

/** A broker that keeps its data, and what may happen to it. Each step resolves when the broker answers again. */
export interface Lives {
  /** Makes an adapter of another node. */
  readonly make: () => Adapter
  /** Puts aside a copy of the data. */
  readonly keep: () => Promise<void>
  /** Ends the broker and starts it with all its data. */
  readonly restart: () => Promise<void>
  /** Starts it with the data that was put aside. */
  readonly putBack: () => Promise<void>
  /** Starts it without data. */
  readonly lose: () => Promise<void>
}

/** A room of which one node has published all events, and that no node follows. */
const silent: RoomSettings = { ...reliable, definition: 'silent/:id' }

/**
 * Tries when a position of a former epoch is honoured: only when the stream of today holds all up to it, and nothing
 * that was accepted behind it is lost. Every adapter whose data can go back or be lost keeps this rule, whichever node
 * is asked first. The test takes some ten seconds, because it starts the broker again several times.
 */
export async function formerEpochs (t: ContractTest, { make, keep, restart, putBack, lose }: Lives): Promise<void> {
  // One node has a member, one has only published, and one knows nothing but what the broker says.
  const [a, b, c] = [await node(t, make(), 'a'), await node(t, make(), 'b'), await node(t, make(), 'c')]
  await a.adapter.subscribe('chat/1', reliable)
  const say = async (text: string, room = 'chat/1', settings = reliable): Promise<Position> => (await until(
    `"${text}" is accepted`,
    async () => await b.adapter.publish(room, said(text, { idempotencyKey: text }), settings)
  )).position!
  // A node with members answers from what they have heard. As soon as it knows better, it tells them by a gap.
  const isTold = async (): Promise<unknown> => await until(
    'its member is told',
    () => a.host.gaps.some(({ from }) => from === undefined),
    15_000
  )
  const isUp = async (): Promise<unknown> => await until(
    'all are back',
    () => [a, b, c].every(({ adapter }) => adapter.stats!().isUp === true)
  )
  const read = async (since: Position): Promise<unknown[]> => {
    const pages = await Promise.all([
      c,
      b,
      a
    ].map(async ({ adapter }) => await until(
      'it is read',
      async () => await adapter.history!('chat/1', { since, limit: 100 }, reliable)
    )))
    return pages.map(({ resumed, events }) => resumed ? events.map(textOf) : false)
  }
  const all = <T>(what: T): T[] => [what, what, what]

  const first = await say('first')
  const second = await say('second')
  // A node that was cut off before it heard of the last event answers without it, until it is back.
  await a.host.heard('chat/1', 2)
  await restart()
  await isUp()
  t.same(await read(first), all(['second']), 'the broker came back with all its data')
  t.same(await read(second), all([]))

  const kept = await say('kept', 'silent/1', silent)
  await keep()
  await isUp()
  for (const text of ['gone', 'gone as well']) await say(text, 'silent/1', silent)
  const third = await say('third')
  const lost = await say('lost')
  await a.host.heard('chat/1', 4)
  await putBack()
  // It is asked first by the node that cannot know, of a room that no node has a reason to compare.
  const page = await until('it is read', async () => await c.adapter.history!('silent/1', {
    since: kept,
    limit: 100
  }, silent))
  t.same([page.resumed, page.events.length], [false, 0], 'another node knows that what followed it is lost')
  await isUp()
  await isTold()
  t.same(await read(lost), all(false), 'it is not there')
  t.same(await read(third), all(false))
  t.same(await read(second), all(false), 'it is there, and what was accepted behind it is not')
  t.same(await read(first), all(false))
  const fourth = await say('fourth')
  const fifth = await say('fifth')
  await until('its member hears the last one', () => a.host.texts('chat/1').at(-1) === 'fifth')
  t.same(await read(fourth), all(['fifth']), 'of the epoch of today')

  a.host.gaps.length = 0
  await lose()
  await isUp()
  await isTold()
  t.same(await read(fifth), all(false))
  t.same(await read(fourth), all(false))
  await say('sixth')
  t.same(await read(fifth), all(false), 'though there are events again')
}
