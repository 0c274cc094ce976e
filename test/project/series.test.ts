import Fastify, { type FastifyInstance } from 'fastify'
import realtime from 'fastify-realtime'
import { connect, type Client } from 'fastify-realtime/client'
import t from 'tap'
import { WebSocket } from 'ws'
import { until } from '../helpers/client.js'

const MINUTE = 60_000

interface Point { readonly at: number, readonly percent: number }

interface Series {
  declareMachines (app: FastifyInstance, ids: string[], measured: { last (): Promise<Point[]> }): void
  setLoad (app: FastifyInstance, id: string, at: number, percent: number): Promise<void>
  showHour (client: Client, id: string, draw: (points: Point[]) => void): void
}

t.test('who joins sees the last hour, a value for each minute, also those that were set again at the start', async (t) => {
  const { declareMachines, setLoad, showHour } = await import('../../example/docs/series/series.ts' as string) as Series
  const now = Math.floor(Date.now() / MINUTE) * MINUTE
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(realtime, { jwt: { secret: 'a secret of the test, which is long enough' } })
  const before = Array.from({ length: 59 }, (_, n) => ({ at: now - (59 - n) * MINUTE, percent: n }))
  declareMachines(app, ['7'], { last: async () => before })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const client = connect(`${url}/ws`, { token: app.jwt.sign({ sub: 'ada' }, { expiresIn: '1m' }) })
  t.teardown(() => { client.close() })
  await setLoad(app, '7', now, 98)
  await setLoad(app, '7', now + 1, 99)
  let points: Point[] = []
  showHour(client, '7', (all) => { points = all })
  await until('the hour', () => points.length === 60)
  t.same(points, [...before, { at: now, percent: 99 }].map((point) => ({ ...point, slot: point.at / MINUTE % 60 })))
  await setLoad(app, '7', now + MINUTE, 100)
  await until('the next minute', () => points.at(-1)?.percent === 100)
  t.equal((await app.rooms.state('machines/7')).get('load')?.size, 60, 'the oldest one gave way')
})

t.test('a cookie that is renewed before its end keeps the link', async (t) => {
  const { build } = await import('../../example/readme/cookies.ts' as string) as { build (): Promise<FastifyInstance> }
  const app = await build()
  t.teardown(() => app.close())
  const site = await app.listen({ host: '127.0.0.1', port: 0 })
  let session = app.jwt.sign({ sub: 'ada', name: 'ada', rooms: ['7'] } as never, { expiresIn: 4 })
  const headers = (): Record<string, string> => ({ cookie: `session=${session}`, origin: site })
  const said: unknown[] = []
  const client = connect(`${site}/ws`, {
    WebSocket: class extends WebSocket {
      constructor (url: string, protocols: string[]) { super(url, protocols, { headers: headers() }) }
    },
    fetch: async (url, init) => await fetch(url, { ...init, headers: { ...init?.headers as object, ...headers() } })
  })
  t.teardown(() => { client.close() })
  client.on('error', (error) => { said.push(error.code) })
  const room = client.join('games/7' as never) as unknown as { joined: Promise<unknown> }
  await room.joined
  client.on('state', ({ state }) => { said.push(state) })
  const { connectionId } = client
  const renewed = await app.inject({ method: 'POST', url: '/renew', cookies: { session } })
  session = renewed.cookies.find(({ name }) => name === 'session')!.value
  // A credential is good for five seconds beyond its end, and the server looks each second.
  const end = Date.now() + 11_000
  await until('the first cookie is over', () => Date.now() > end)
  t.same([client.state, client.connectionId, said], ['open', connectionId, []])
})
