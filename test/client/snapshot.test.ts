import { setImmediate as turn } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import type { ClientRoom, Loaded } from '../../lib/client/index.js'
import { defineRoom } from '../../lib/index.js'
import type { Position } from '../../lib/protocol/position.js'
import { dial, rejection, until, type Watched } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { start, TRANSPORTS, type Running, type TransportName } from '../helpers/net.js'

/** Reloads and gaps of each transport. */
const ROUNDS = Number(process.env.SNAPSHOT_ROUNDS ?? 4)

const numbers = defineRoom('numbers/:id', { events: { added: Type.Object({ n: Type.Integer() }) } })
const room = numbers.at({ id: '1' })

interface Writer extends Running { top (): number, stop (): Promise<void> }

/** An app whose state is the newest number, which somebody raises all the time. */
async function writer (t: Test, size: number): Promise<Writer> {
  const app = await start(t, {
    limits: { rate: { messages: 10_000, burst: 10_000 }, user: { connections: 1_000, then: 'reject' } },
    declare: (app) => {
      app.room(numbers, { history: { size, ttl: 60_000 } })
      app.room(defineRoom('plain/:id', { events: {} }), { history: false })
      app.get('/state', (_request, reply) => locked(async () => {
        await reply.position(room)
        return { n }
      }))
    }
  })
  // Who reads the state and its position does so in one transaction, as a database would give it.
  let last: Promise<unknown> = Promise.resolve()
  const locked = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work)
    last = done.catch(() => {})
    return done
  }
  let n = 0
  const stopping = new AbortController()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await locked(async () => {
        for (let count = 0; count < 5; count++) await app.app.rooms.broadcast(room, 'added', { n: ++n })
      })
      await turn()
    }
  })()
  const stop = async (): Promise<void> => {
    stopping.abort()
    await running
  }
  t.teardown(stop)
  return { ...app, top: () => n, stop }
}

interface Reader extends Watched {
  readonly room: ClientRoom<never, { added: { n: number } }, undefined>
  readonly faults: string[]
  shown (): number
  load (): Promise<Response>
  show (n: number): void
}

/** A page that shows the newest number, and finds each that is missing or comes twice. */
function reader (t: Test, app: Running, transport: TransportName): Reader {
  const watched = dial(t, app, 'ada', { transports: [transport] })
  const joined = watched.client.join(room) as unknown as Reader['room']
  let shown: number | undefined
  const faults: string[] = []
  joined.on('added', ({ data: { n } }) => {
    if (shown !== undefined && n !== shown + 1) faults.push(`${n} came behind ${shown}`)
    shown = n
  })
  const show = (n: number): void => { shown = n }
  return {
    ...watched,
    room: joined,
    faults,
    shown: () => shown!,
    show,
    load: async () => {
      const response = await fetch(`${app.url}/state`)
      show((await response.json() as { n: number }).n)
      return response
    }
  }
}

for (const transport of TRANSPORTS) {
  t.test(`over ${transport}: a state and the events of a writer that never stops meet without a hole or a double, also behind gaps`, async (t) => {
    const app = await writer(t, 5)
    const page = reader(t, app, transport)
    await page.room.snapshot(page.load)
    for (let round = 0; round < ROUNDS; round++) {
      const before = page.shown()
      if (round % 2 === 0) await page.room.reload()
      else {
        page.client.reconnect()
        await until('the link is back', () => page.client.state === 'open')
      }
      await until(`more is heard than ${before}`, () => page.shown() > before)
    }
    await app.stop()
    await until(`all is heard: ${page.shown()} of ${app.top()}`, () => page.shown() === app.top())
    t.same(page.faults.slice(0, 5), [])
    t.same(page.errors, [])
    t.ok(page.gaps.length > 0, 'there were gaps')
    t.comment(`${page.gaps.length} gaps, ${app.top()} events`)
  })
}

t.test('behind a gap the state is loaded again by itself, and each load that fails is told, with when it is tried again', async (t) => {
  const app = await writer(t, 1)
  const page = reader(t, app, 'websocket')
  let loads = 0
  await page.room.snapshot(async () => {
    if (++loads === 2 || loads === 3) throw new Error('the database is away')
    return await page.load()
  })
  while (page.gaps.length === 0) {
    const { connectionId } = page.client
    page.client.reconnect()
    await until('another link', () => page.client.state === 'open' && page.client.connectionId !== connectionId)
  }
  await until('a load that succeeds', () => loads >= 4)
  await app.stop()
  await until('all is heard', () => page.shown() === app.top())
  const failed = { code: 'load_failed', room: 'numbers/1', message: /the database is away/, retryIn: Number }
  matchList(t, page.errors, [{ ...failed, attempt: 1 }, { ...failed, attempt: 2 }])
  t.equal(page.errors.length, 2)
})

t.test('an answer from a cache, and one that comes after thousands of events, are brought up to date by the history', async (t) => {
  const app = await writer(t, 100_000)
  const page = reader(t, app, 'websocket')
  const { headers, n } = await fetch(`${app.url}/state`).then(async (response) => ({
    headers: response.headers,
    ...await response.json() as { n: number }
  }))
  await page.room.joined
  const begun = app.top()
  await until('events were written', () => app.top() > begun + 50)
  const cached = async (): Promise<Loaded> => {
    page.show(n)
    return { headers }
  }
  await page.room.snapshot(cached)
  await until('more is heard', () => page.shown() > n + 50)
  await page.room.snapshot(async () => {
    const before = app.top()
    await until('more events than are held', () => app.top() > before + 1_500)
    return await cached()
  })
  await app.stop()
  await until('all is heard', () => page.shown() === app.top())
  t.same(page.faults.slice(0, 5), [])
})

t.test('what cannot meet is refused with a code: no position, a room without one, a stream that nobody knows', async (t) => {
  const app = await writer(t, 20)
  const page = reader(t, app, 'websocket')
  await page.room.joined
  await app.stop()
  t.match(await rejection(page.room.reload()), { code: 'REALTIME_ERR_OPTIONS' })
  t.match(await rejection(page.room.snapshot(async () => await fetch(`${app.url}/ws/health`))), {
    code: 'position_missing'
  })
  t.match(await rejection(page.room.snapshot(async () => { throw new Error('mine') })), { message: 'mine' })
  const answer = (position: string): object => ({ headers: new Headers({ 'x-realtime-position': position }) })
  for (const loaded of [
    undefined, null, 7, 'n', [], { n: 1 }, { headers: {} }, { epoch: 'a' }, { epoch: 'a', offset: '1' }, { offset: 1 },
    answer('numbers/1'), answer('numbers/1 zz'), answer('numbers/1 zz:'), answer('numbers/1 zz:z'),
    answer('numbers/1 :1'), answer('numbers/2 zz:1')
  ]) {
    let loads = 0
    const load = async (): Promise<Loaded> => {
      loads++
      return loaded as never
    }
    t.match(await rejection(page.room.snapshot(load)), {
      code: 'position_missing', message: /numbers\/1 in the header x-realtime-position/
    }, JSON.stringify(loaded))
    t.equal(loads, 1)
  }
  const position: Position = { epoch: 'AAAAAAAA', offset: 0 }
  const unmet = rejection(page.room.snapshot(async () => position))
  await page.room.leave()
  t.match(await unmet, { code: 'left' })
})
