import t from 'tap'
import { matchList } from '../helpers/match-list.js'
import { start } from '../helpers/net.js'

const ROUTES = [
  '/ws/stats?format=json',
  '/ws/stats?format=prometheus',
  '/ws/stats/rooms',
  '/ws/stats/rooms/chat/1',
  '/ws/stats/connections'
]

t.test(
  'with a cookie the admin\'s routes ask for the origin as all others do, with a token in a header they do not',
  async (t) => {
    const { app, token } = await start(t, {
      auth: { carriers: ['header', 'cookie'], cookie: 'session' },
      origins: ['https://app.example.com'],
      stats: { token: 'scraper' }
    })
    const admin = token('root', { role: 'admin' })
    await app.inject({ url: '/ws/chat/1', headers: { authorization: `Bearer ${admin}` } })
    for (const url of ROUTES) {
      const ask = async (headers: Record<string, string>): Promise<unknown[]> => {
        const answer = await app.inject({ url, headers })
        return answer.statusCode === 200 ? [200] : [answer.statusCode, answer.json<{ code: string }>().code]
      }
      const cookie = `session=${admin}`
      t.same(await ask({ cookie, origin: 'https://evil.example.com' }), [403, 'origin_refused'], url)
      t.same(await ask({ cookie, origin: 'null' }), [403, 'origin_refused'])
      t.same(await ask({ cookie, 'sec-fetch-site': 'cross-site' }), [403, 'origin_refused'])
      t.same(await ask({ cookie, 'sec-fetch-site': 'same-site' }), [403, 'origin_refused'])
      t.same(await ask({ cookie, 'sec-fetch-site': 'same-origin' }), [200])
      t.same(await ask({ cookie, origin: 'https://app.example.com' }), [200])
      t.same(
        await ask({ authorization: `Bearer ${admin}`, origin: 'https://evil.example.com' }),
        [200],
        'no page has it by itself'
      )
      t.same(
        await ask({
          authorization: 'Bearer scraper',
          origin: 'https://evil.example.com',
          'sec-fetch-site': 'cross-site'
        }),
        [200]
      )
    }
  }
)

t.test('what authenticate finds by itself counts as a cookie', async (t) => {
  const { app } = await start(t, { authenticate: () => ({ sub: 'root', role: 'admin', exp: 4e9 }) as never })
  const ask = async (headers: Record<string, string>): Promise<number> => (await app.inject({
    url: '/ws/stats?format=json',
    headers
  })).statusCode
  t.same(
    [await ask({ origin: 'https://evil.example.com' }), await ask({ 'sec-fetch-site': 'cross-site' }), await ask({})],
    [403, 403, 200]
  )
})

t.test('the admin\'s routes take no ticket, and spend none', async (t) => {
  const { app, token } = await start(t)
  const headers = { authorization: `Bearer ${token('root', { role: 'admin' })}` }
  const { ticket } = (await app.inject({ method: 'POST', url: '/ws/ticket', headers })).json<{ ticket: string }>()
  for (const url of ROUTES) {
    const answer = await app.inject(`${url}${url.includes('?') ? '&' : '?'}ticket=${ticket}`)
    matchList(t, [answer.statusCode, answer.json()], [401, { code: 'unauthorized' }], url)
  }
  const opened = await app.inject({ url: `/ws/chat/1?transport=sse&ticket=${ticket}`, payloadAsStream: true })
  t.equal(opened.statusCode, 200, 'it opens a stream afterwards')
  opened.stream().destroy()
})
