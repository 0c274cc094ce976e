import { randomBytes, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import cookie from '@fastify/cookie'
import Fastify from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'
import { object, string } from 'fastify-realtime/contract'

const text = string({ minLength: 1, maxLength: 200 })
const board = defineRoom('boards/:id', { events: { pinned: object({ by: string(), text }) } })

// Your database: the passwords (as hashes there), and who may use which board.
const passwords = new Map([['ada', 'engine'], ['bob', 'ladder'], ['eve', 'apple']])
const members = new Map([['7', ['ada', 'bob']]])
const isMember = (user, id) => members.get(id)?.includes(user) === true

// Your store, such as Redis, that all nodes reach: sessions by the value of the cookie. A Map ends with the process.
const sessions = new Map()
const LIFE = Number(process.env.SESSION_LIFE ?? 3_600_000)
function sessionOf (sid) {
  const session = sessions.get(sid)
  return session !== undefined && session.ends > Date.now() ? session : undefined
}

const app = Fastify({ logger: { level: 'warn' }, trustProxy: process.env.TRUST_PROXY })
await app.register(cookie)
await app.register(realtime, {
  auth: { carriers: ['cookie'], cookie: 'sid' },
  origins: 'same',                                      // has to be written out where a cookie counts
  async authenticate (_request, sid) {
    const session = sessionOf(sid)
    // `null` is a 401. Some 5 s behind `exp` (in seconds) the connection ends; by `jti` the logout finds it.
    return session === undefined ? null : { sub: session.user, jti: session.key, exp: session.ends / 1_000 }
  }
})
app.room(board, { authorize: ({ userId, params }) => isMember(userId, params.id) })

// The cookie: no script reads it, and no form of another site sends it. It is `secure` where the page came by HTTPS.
const COOKIE = { path: '/', httpOnly: true, secure: 'auto', sameSite: 'lax' }

app.post('/login', {
  schema: { body: { type: 'object', required: ['user', 'password'], properties: { user: text, password: text } } }
}, async ({ body }, reply) => {
  if (passwords.get(body.user) !== body.password) return await reply.code(401).send({ code: 'unauthorized' })
  const sid = randomBytes(32).toString('base64url')     // a new one at each login, which nobody can guess
  sessions.set(sid, { user: body.user, key: randomUUID(), ends: Date.now() + LIFE })
  return await reply.setCookie('sid', sid, { ...COOKIE, maxAge: LIFE / 1_000 }).send({ user: body.user })
})

// The guard of all routes for users: the same session as that of the link.
app.decorateRequest('session', null)
async function withSession (request, reply) {
  request.session = sessionOf(request.cookies.sid)
  if (request.session === undefined) await reply.code(401).send({ code: 'unauthorized' })
}

// The page calls it well before the end, such as every 20 minutes. What is open stays open: our client renews its link
// by the cookie, and `authenticate` finds the new end.
app.post('/renew', { onRequest: withSession }, async ({ session, cookies }, reply) => {
  session.ends = Date.now() + LIFE                      // in a store that all nodes reach: write it there
  return await reply.setCookie('sid', cookies.sid, { ...COOKIE, maxAge: LIFE / 1_000 }).send({})
})

app.post('/logout', { onRequest: withSession }, async ({ session, cookies }, reply) => {
  sessions.delete(cookies.sid)                          // first the session, so that nothing opens with it any more,
  await app.rooms.revoke({ tokenId: session.key })      // then what is open: all its tabs, on all nodes
  return await reply.clearCookie('sid', COOKIE).send({})
})

app.post('/boards/:id/pins', {
  onRequest: withSession,
  schema: { body: { type: 'object', required: ['text'], properties: { text } } }
}, async ({ session, params, body }, reply) => {
  if (!isMember(session.user, params.id)) return await reply.code(403).send({ code: 'forbidden' })
  reply.broadcast(board.at({ id: params.id }), 'pinned', { by: session.user, text: body.text })
  return await reply.send({})
})

const page = await readFile(new URL('page.html', import.meta.url))
app.get('/', async (_request, reply) => await reply.type('text/html; charset=utf-8').send(page))

console.log(await app.listen({ port: Number(process.env.PORT ?? 3000) }))
