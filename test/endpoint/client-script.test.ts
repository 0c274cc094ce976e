import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { defineRoom } from '../../lib/index.js'
import { VERSION } from '../../lib/version.js'
import { builtGlobal, builtModule } from '../../scripts/build-client.mjs'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { chat, start } from '../helpers/net.js'

const BUILT = new URL('../../lib/endpoint/client-script/built.ts', import.meta.url)

t.test('the module that is served is built from the client library', async (t) => {
  t.equal(readFileSync(BUILT, 'utf8'), await builtModule(), 'run npm run build, and commit what it made')
})

t.test('the module may be kept for ever under its version, and is asked for by its ETag otherwise', async (t) => {
  const { app } = await start(t)
  const get = async (url: string, headers: Record<string, string> = {}): Promise<LightMyRequestResponse> =>
    await app.inject({ url, headers })
  const plain = await get('/ws/client.js')
  t.match(plain.headers, {
    'content-type': 'text/javascript; charset=utf-8',
    'cache-control': 'public, no-cache',
    'access-control-allow-origin': '*',
    'cross-origin-resource-policy': 'cross-origin',
    'x-content-type-options': 'nosniff'
  })
  t.match(plain.body, /export\{\w+ as connect\}/)
  t.match((await get(`/ws/client.js?v=${VERSION}`)).headers, { 'cache-control': 'public, max-age=31536000, immutable' })
  t.match((await get('/ws/client.js?v=0.0.0')).headers, { 'cache-control': 'public, no-cache' }, 'that of another node')

  const packed = await get('/ws/client.js', { 'accept-encoding': 'br, gzip' })
  t.equal(String(gunzipSync(packed.rawPayload)), plain.body)
  t.not(packed.headers.etag, plain.headers.etag)
  for (const [answer, encoding] of [[plain, 'identity'], [packed, 'gzip']] as const) {
    const tag = String(answer.headers.etag)
    for (const known of [tag, `W/${tag}`, `"other", ${tag}`]) {
      const again = await get('/ws/client.js', { 'if-none-match': known, 'accept-encoding': encoding })
      t.same([again.statusCode, again.body], [304, ''], known)
    }
    t.equal((await get('/ws/client.js', { 'if-none-match': '"other"', 'accept-encoding': encoding })).statusCode, 200)
  }
  t.equal((await app.inject({ method: 'HEAD', url: '/ws/client.js' })).body, '')
})

t.test('client: false turns the module off, and no room can have its name', async (t) => {
  const { app } = await start(t, { client: false })
  t.equal((await app.inject('/ws/client.js')).json().code, 'room_invalid')
  await start(t, {
    declare: (app) => {
      t.throws(() => app.room(defineRoom('client.js', { events: {} })), { code: 'REALTIME_ERR_ROOM', message: /reserved/ })
    }
  })
})

t.test('in Chromium one script tag is enough: the module, that of another origin, and the script with a global', {
  skip: skipWithoutChromium()
}, async (t) => {
  const script = await builtGlobal()
  const page = (head: string, connect: string): string => `<!doctype html><script>window.heard = []</script>${head}
    <script type="module">${connect}
      const room = client.join('chat/1')
      room.on('said', ({ data }) => { window.heard.push(data.text) })
      room.joined.then(() => { document.title = client.userId })
    </script>`
  const { app, port, url } = await start(t, {
    origins: 'any',
    declare: (app) => {
      app.room(chat, { on: { say: () => ({ id: '1' }), type: () => undefined } })
      const html = (path: string, head: string, connect: string): void => {
        app.get(path, (_request, reply) => reply.type('text/html').send(page(head, connect)))
      }
      app.get('/global.js', (_request, reply) => reply.type('text/javascript').send(script))
      app.get('/token', () => app.jwt.sign({ sub: 'ada' }, { expiresIn: 60 }))
      const token = 'token: async () => await (await fetch("/token")).text()'
      html('/module', '', `import { connect } from '/ws/client.js?v=${VERSION}'; const client = connect('/ws', { ${token} })`)
      html('/global', '<script src="/global.js"></script>', `const client = realtime.connect('/ws', { ${token} })`)
      html('/far', '', `const far = 'http://localhost:' + location.port
        const { connect } = await import(far + '/ws/client.js')
        const client = connect(far + '/ws', { ${token} })`)
    }
  })
  const browser = await launchWindowless(t)
  for (const path of ['module', 'global', 'far']) {
    const tab = await browser.newPage()
    await tab.goto(`${url}/${path}`)
    await tab.waitForFunction('document.title === "ada"')
    await app.rooms.broadcast('chat/1', 'said', { text: path, by: 'server' })
    await tab.waitForFunction('window.heard.length > 0')
    t.same(await tab.evaluate('window.heard'), [path], `${path} on port ${port}`)
    await tab.close()
  }
})
