import t from 'tap'
import { Unread } from '../../../lib/adapters/broker/unread.js'
import type { NatsClock } from '../../../lib/adapters/nats/clock.js'
import { LastingDenials } from '../../../lib/adapters/nats/lasting-denials.js'
import { away } from '../../../lib/adapters/nats/link.js'
import { NatsState } from '../../../lib/adapters/nats/state.js'
import { natsDenials } from '../../../lib/adapters/nats/stores.js'
import { missing, startNats, until } from '../../helpers/servers.js'
import { openedLink } from './opened.js'

/** Milliseconds for which the bucket of denials keeps each. */
const KEPT = 3_000

t.test('nats: who is kept out for longer than the bucket keeps anything stays out until then, by any node that is there', {
  skip: missing('nats-server')
}, async (t) => {
  const log = { warn: () => undefined }
  const unread = new Unread(log)
  const link = await openedLink(t, { url: (await startNats(t)).url })
  const clock = { now: () => Date.now(), shared: (time: number) => time } as NatsClock
  const plan = { replicas: 1, storage: 'memory' } as const
  const denied = new NatsState(link, 'realtime_denials', { ...plan, ttl: KEPT })
  const known = new NatsState(link, 'realtime_lives', { ...plan, ttl: 0 })
  const parts = { link, clock, denied, kept: KEPT, known, unread }
  const notes = async (): Promise<number> => (await link.jsm.streams.info('KV_realtime_lives')).state.messages
  await known.write('shared.secret', 'x')
  const denials = natsDenials(denied, clock, unread, new LastingDenials(parts))
  const began = Date.now()
  await denials.deny('user:ann', began + KEPT - 500)
  t.equal(await notes(), 1, 'a short one leaves no note')
  const end = began + 3 * KEPT
  await denials.deny('user:eve', end, 7)
  await denials.deny('user:eve', began + KEPT)
  // Another node, which has heard of none of them.
  const lasting = new LastingDenials(parts)
  const isOut = async (): Promise<boolean> => await denials.isDenied(['user:eve'])
  await until('the end is near', async () => {
    await lasting.look()
    if (Date.now() < end - 500) t.same([await isOut(), await denials.version!('user:eve')], [true, 7], `${Date.now() - began} ms`)
    return Date.now() >= end - 500
  }, 4 * KEPT)
  await until('the note is gone behind the end', async () => {
    await lasting.look()
    return await notes() === 1
  }, KEPT)
  t.equal(await isOut(), false)
  t.equal(await known.read('shared.secret'), 'x')
})

t.test('nats: a revocation of a room whose number is kept by now is not told as refused where the rest cannot be kept', async (t) => {
  const unread = new Unread({ warn: () => undefined })
  const clock = { now: () => Date.now(), shared: (time: number) => time } as NatsClock
  const written: string[] = []
  const state = {
    change: async (key: string) => {
      if (written.length > 0 || !key.startsWith('version')) throw away()
      written.push(key)
    }
  }
  const lasting = { note: async () => undefined }
  const denials = natsDenials(state as unknown as NatsState, clock, unread, lasting)
  const end = Date.now() + 60_000
  await t.rejects(denials.deny('user:ann', end) as Promise<void>, { code: 'unavailable', outcome: undefined })
  await t.rejects(denials.deny('member:ann:room', end, 7) as Promise<void>, { code: 'unavailable', outcome: 'unknown' })
  t.equal(written.length, 1)
})
