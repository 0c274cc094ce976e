import t from 'tap'
import { MemoryAdapter } from '../../lib/adapters/memory/adapter.js'
import type { Publication, Published, RoomSettings } from '../../lib/adapters/adapter.js'
import { Refusal } from '../../lib/errors/refusal.js'
import type { Awaitable } from '../../lib/structures/awaitable.js'
import { chat, connect, start, type Running } from '../helpers/net.js'

type Fault = 'none' | 'the answer is lost' | 'it cannot be asked' | 'no key is kept'

/** An adapter whose answers may be lost, and that names the key as brokers do. */
class Broker extends MemoryAdapter {
  fault: Fault = 'none'
  #count = 0

  override publish (room: string, publication: Publication, settings: RoomSettings): Awaitable<Published> {
    if (this.fault === 'it cannot be asked') return Promise.reject(new Refusal('unavailable', { retryAfter: 1_000 }))
    const idempotencyKey = publication.idempotencyKey ?? `~node-${++this.#count}`
    const published = super.publish(room, { ...publication, idempotencyKey }, settings)
    if (this.fault === 'none') return Promise.resolve(published)
    const named = this.fault === 'no key is kept' ? undefined : idempotencyKey
    return Promise.reject(new Refusal('unavailable', { outcome: 'unknown', idempotencyKey: named, retryAfter: 1_000 }))
  }
}

const SAID = ['said', { text: 'hello', by: 'server' }] as const
const NO_KEY = 'none of its own'

async function errorOf (call: Promise<unknown>): Promise<Refusal> {
  return await call.then(() => { throw new Error('not refused') }, (error: Refusal) => error)
}

async function texts ({ app }: Running, room: string): Promise<string[]> {
  const { events } = await app.rooms.history(room)
  return (events as Array<{ data: { text: string } }>).map(({ data }) => data.text)
}

for (const given of [NO_KEY, 'order-7', '100%', '100%25', 'a\nb', 'a%0Ab', '\uD83D', 'é']) {
  t.test(`under the key of a publication with unknown outcome (given: ${JSON.stringify(given)}) it is there once, and the outcome stays unknown until it is told`, async (t) => {
    const adapter = new Broker({ bytes: 1_000_000 })
    const server = await start(t, { adapter })
    const options = given === NO_KEY ? {} : { idempotencyKey: given }
    const publish = async (more: object): Promise<unknown> => await server.app.rooms.broadcast('chat/1', ...SAID, more)
    adapter.fault = 'the answer is lost'
    const first = await errorOf(publish(options))
    t.match(first, { word: 'unavailable', outcome: 'unknown', data: { retryAfter: 1_000 } })
    if (given !== NO_KEY) t.equal(first.idempotencyKey, given)
    const again = { idempotencyKey: first.idempotencyKey }
    adapter.fault = 'it cannot be asked'
    for (let attempt = 0; attempt < 2; attempt++) {
      const { outcome, idempotencyKey } = await errorOf(publish(again))
      t.same([outcome, idempotencyKey], ['unknown', first.idempotencyKey], 'an earlier attempt may have published it')
    }
    t.equal((await errorOf(publish({ idempotencyKey: 'another' }))).outcome, undefined)
    t.equal((await errorOf(server.app.rooms.broadcast('chat/2', ...SAID, again))).outcome, undefined, 'in another room')
    adapter.fault = 'none'
    await publish(again)
    t.same(await texts(server, 'chat/1'), ['hello'])
  })
}

t.test('the handler of a message hears no key of which another attempt would make a second event, and its message finds what it has published', async (t) => {
  const adapter = new Broker({ bytes: 1_000_000 })
  const heard: Refusal[] = []
  const server = await start(t, {
    adapter,
    declare: (app) => {
      app.room(chat, {
        on: {
          type: () => {},
          say: async ({ room, data }) => {
            const failed = await room.broadcast('said', { ...data, by: 'ada' }).then(() => undefined, (error) => error)
            if (failed === undefined) return { id: '1' }
            heard.push(failed as Refusal)
            throw failed
          }
        }
      })
    }
  })
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  const say = (): void => { ada.send({ type: 'say', room: 'chat/1', id: 'm1', data: { text: 'hello' } }) }
  adapter.fault = 'the answer is lost'
  say()
  t.match(await ada.next('error'), { id: 'm1', data: { code: 'unavailable' } })
  t.same([heard[0]!.outcome, heard[0]!.idempotencyKey], ['unknown', undefined])
  t.match(heard[0]!.message, /let the handler fail/)
  adapter.fault = 'none'
  say()
  await ada.next('ack', ({ id }) => id === 'm1')
  t.same(await texts(server, 'chat/1'), ['hello'])
})

t.test('where the broker was not given the key, none is named, and the outcome stays unknown all the same', async (t) => {
  const adapter = new Broker({ bytes: 1_000_000 })
  const server = await start(t, { adapter })
  for (const fault of ['no key is kept', 'it cannot be asked'] as const) {
    adapter.fault = fault
    const error = await errorOf(server.app.rooms.broadcast('chat/1', ...SAID, { idempotencyKey: 'order-7' }))
    t.same([error.outcome, error.idempotencyKey], ['unknown', undefined], fault)
  }
})
