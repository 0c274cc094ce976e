import { Module } from 'node:module'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import Type1 from 'typebox'
import * as z from 'zod'
import realtime, { defineRoom, type SchemaLike } from '../../lib/index.js'
import { createPeer } from '../../lib/testing/index.js'
import { loaded } from '../helpers/imports.js'
import { matchList } from '../helpers/match-list.js'
import { LIBRARIES } from './libraries.js'

interface Answer { readonly statusCode: number, readonly body: { data?: unknown, code?: string, details?: unknown } }

async function appOf (t: Test, options: object = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'schemas' }, ...options })
  return app
}

function tokenOf (app: FastifyInstance): string { return app.jwt.sign({ sub: 'ada' }, { expiresIn: 60 }) }

async function post (app: FastifyInstance, room: string, message: string, data: unknown): Promise<Answer> {
  const { statusCode, payload } = await app.inject({
    method: 'POST',
    url: `/ws/${room}`,
    headers: { authorization: `Bearer ${tokenOf(app)}` },
    payload: { type: message, data } as object
  })
  return { statusCode, body: JSON.parse(payload) as Answer['body'] }
}

/** Declares a room with one message of this schema, which keeps what its handler got. */
function declared (app: FastifyInstance, name: string, data: SchemaLike): unknown[] {
  const got: unknown[] = []
  app.room(defineRoom(name, { messages: { say: data }, events: { said: data } }), {
    // The type of a schema that is chosen at run time is not known here.
    on: { say: (context: { data: unknown }) => { got.push(context.data) } } as never
  })
  return got
}

// This one comes first, because what was loaded once is not looked for again.
t.test('the package of a family is loaded with its first schema, and named where it is missing', async (t) => {
  const ours = [...loaded('index.ts'), ...loaded('contract/index.ts')]
  t.same(ours.filter((name) => /^(ajv|typebox|zod|valibot|arktype)(\/|$)/.test(name)), [])
  const app = await appOf(t)
  // Resolution is what a missing package fails at; the loader has no other seam.
  const loader = Module as unknown as { _resolveFilename: (request: string, ...rest: unknown[]) => string }
  const { _resolveFilename: resolve } = loader
  t.teardown(() => { loader._resolveFilename = resolve })
  loader._resolveFilename = (request, ...rest) => {
    if (/^(ajv|typebox)\//.test(request)) throw new Error(`Cannot find module '${request}'`)
    return resolve(request, ...rest)
  }
  t.throws(() => declared(app, 'x', Type1.Object({})), { code: 'REALTIME_ERR_SCHEMA', message: /npm i typebox@1/ })
  t.throws(() => declared(app, 'x', { type: 'object' }), { code: 'REALTIME_ERR_SCHEMA', message: /npm i ajv@8/ })
})

for (const [name, { line, count, short, long, changing }] of Object.entries(LIBRARIES)) {
  t.test(`${name}: what fits reaches the handler and the members, and the rest is refused with its path`, async (t) => {
    const app = await appOf(t)
    const got = declared(app, 'chat', line)
    const good = { text: 'hi', by: { 'first/name': 'Ada' } }
    t.match(await post(app, 'chat', 'say', good), { statusCode: 200 })
    t.same(got, [good])
    for (const [bad, path] of [
      [{ text: 'hi', by: { 'first/name': 7 } }, '/by/first~1name'],
      [{ text: 7, by: { 'first/name': 'Ada' } }, '/text'],
      ['hi', '']
    ] as const) {
      const { statusCode, body } = await post(app, 'chat', 'say', bad)
      t.equal(statusCode, 400)
      matchList(t, body, { code: 'invalid_message', details: [{ path, message: /./ }] }, JSON.stringify(bad))
    }
    t.equal(got.length, 1)
    const peer = await createPeer(app, { room: 'chat', token: tokenOf(app) })
    await app.rooms.broadcast('chat', 'said', good)
    t.match(await peer.next('said'), { data: good })
    await t.rejects(app.rooms.broadcast('chat', 'said', { text: 'hi', by: {} }), {
      code: 'REALTIME_ERR_EVENT',
      message: /\/by\/first~1name: /
    })
    await peer.close()
  })

  if (changing !== undefined) {
    t.test(`${name}: what a schema changes arrives changed, in handlers and at members`, async (t) => {
      const app = await appOf(t, { validateOutput: false })
      const got = declared(app, 'counts', changing)
      t.match(await post(app, 'counts', 'say', { n: '7' }), { statusCode: 200 })
      t.same(got, [{ n: 7, more: true }])
      const peer = await createPeer(app, { room: 'counts', token: tokenOf(app) })
      await app.rooms.broadcast('counts', 'said', { n: '8' })
      t.same((await peer.next('said')).data, { n: 8, more: true }, 'where output is not validated too')
      await peer.close()
    })
  } else {
    t.test(`${name}: data is never changed, by defaults or types`, async (t) => {
      const app = await appOf(t)
      const got = declared(app, 'counts', count)
      t.match(await post(app, 'counts', 'say', { n: '7' }), { statusCode: 400 })
      t.match(await post(app, 'counts', 'say', {}), { statusCode: 400 })
      t.match(await post(app, 'counts', 'say', { n: 7, other: 1 }), { statusCode: 200 })
      t.same(got, [{ n: 7, other: 1 }])
    })
  }

  if (short !== undefined) {
    t.test(`${name}: an expression runs behind a bound of the length, or is refused`, async (t) => {
      const app = await appOf(t)
      if (long !== undefined) {
        t.throws(() => declared(app, 'unbounded', long), { code: 'REALTIME_ERR_SCHEMA', message: /no maxLength/ })
      }
      declared(app, 'bounded', short)
      t.match(await post(app, 'bounded', 'say', 'abc'), { statusCode: 200 })
      matchList(t, await post(app, 'bounded', 'say', 'bc'), { body: { details: [{ path: '' }] } })
      t.match(await post(app, 'bounded', 'say', 'a'.repeat(60_000)), { statusCode: 400 })
    })
  }
}

t.test('families stand side by side in one contract: params, messages, replies, events and members', async (t) => {
  const app = await appOf(t)
  const mixed = defineRoom('mixed/:id', {
    params: z.object({ id: z.string().regex(/^[0-9]+$/).transform(Number) }),
    messages: {
      add: {
        data: { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] },
        reply: z.object({ sum: z.number().transform((sum) => `${sum}`), at: z.number().default(0) })
      }
    },
    events: { added: Type1.Object({ n: Type1.Number() }), seen: Type.Object({}) },
    member: z.object({ name: z.string().default('somebody') })
  })
  app.room(mixed, {
    presence: () => ({}),
    on: { add: ({ data, params }) => ({ sum: params.id + data.n }) }
  })
  t.match(await post(app, 'mixed/40', 'add', { n: 2 }), { statusCode: 200, body: { data: { sum: '42', at: 0 } } })
  matchList(t, await post(app, 'mixed/x', 'add', { n: 2 }), {
    statusCode: 400,
    body: { code: 'room_invalid', details: [{ path: '/id' }] }
  })
  const peer = await createPeer(app, { room: 'mixed/40', token: tokenOf(app) })
  t.same(await app.rooms.members(mixed.at({ id: '40' })), [{ userId: 'ada', data: { name: 'somebody' } }])
  const bad = app.rooms.broadcast('mixed/40', 'added', { n: 'x' })
  await t.rejects(bad, { code: 'REALTIME_ERR_EVENT', message: /\/n: / })
  await peer.close()
})

t.test('a check may take its time for messages and replies, up to the time of a handler', async (t) => {
  const app = await appOf(t, { timeouts: { handler: 200 } })
  const known = z.object({
    name: z.string().refine(async (name) => {
      if (name === 'broken') throw new Error('the database is away')
      if (name === 'never') await new Promise(() => {})
      return name === 'ada'
    }, 'nobody of that name')
  })
  app.room(defineRoom('slow', { messages: { greet: { data: known, reply: known } } }), {
    on: { greet: ({ data }) => data }
  })
  t.match(await post(app, 'slow', 'greet', { name: 'ada' }), { statusCode: 200, body: { data: { name: 'ada' } } })
  matchList(t, await post(app, 'slow', 'greet', { name: 'bob' }), {
    statusCode: 400,
    body: { details: [{ path: '/name', message: 'nobody of that name' }] }
  })
  t.match(await post(app, 'slow', 'greet', { name: 'broken' }), { statusCode: 500, body: { code: 'internal' } })
  t.match(await post(app, 'slow', 'greet', { name: 'never' }), { body: { code: 'timeout' } })
})

t.test('where there is no time to wait, an asynchronous check is refused at the first call', async (t) => {
  const app = await appOf(t)
  const slow = z.object({ id: z.string().refine(async () => true) })
  app.room(defineRoom('later', { events: { said: slow } }))
  app.room(defineRoom('by/:id', { params: slow, events: {} }))
  await app.ready()
  await t.rejects(app.rooms.broadcast('later', 'said', { id: 'x' }), {
    code: 'REALTIME_ERR_SCHEMA',
    message: /event "said" of "later" is checked asynchronously/
  })
  await t.rejects(app.rooms.history('by/x'), { code: 'REALTIME_ERR_SCHEMA', message: /asynchronously/ })
})

t.test('what JSON cannot carry is refused where a schema has made it, and a missing key of latest values', async (t) => {
  const app = await appOf(t)
  app.room(defineRoom('made', {
    events: {
      at: z.object({ when: z.string().transform((text) => new Date(text)) }),
      by: z.object({ how: z.string().transform((text) => new RegExp(text)) }),
      most: z.object({ list: z.array(z.string().transform((text) => text === '' ? undefined : text)) }),
      best: { data: z.object({ k: z.string().optional() }).loose(), delivery: 'latest', key: 'k' }
    }
  }))
  await app.ready()
  await t.rejects(app.rooms.broadcast('made', 'at', { when: '2026-01-01' }), { message: /\/when: is a Date/ })
  await t.rejects(app.rooms.broadcast('made', 'by', { how: '^a' }), { message: /\/how: is a RegExp/ })
  await t.rejects(app.rooms.broadcast('made', 'most', { list: ['x', ''] }), { message: /\/list\/1: is undefined/ })
  await t.rejects(app.rooms.broadcast('made', 'best', {}), { code: 'REALTIME_ERR_EVENT', message: /"k"/ })
})

t.test('nothing is accepted unchecked: each is refused where it is declared, with what to do', async (t) => {
  const app = await appOf(t)
  const refused: Record<string, [schema: unknown, says: RegExp]> = {
    'no schema': [{}, /no schema that is known.*npm i @sinclair\/typebox/],
    'a class': [class {}, /no schema that is known/],
    'a keyword that nobody knows': [{ type: 'string', patern: '^a' }, /"patern"/],
    'an unknown keyword deep within': [
      { type: 'array', items: { type: 'object', nullable: true } },
      /\/items.*"nullable"/
    ],
    'a keyword of another type': [{ type: 'string', minimum: 3 }, /strict/],
    'a keyword without its type': [{ properties: { a: { type: 'string' } } }, /missing type "object"/],
    'a type that JSON has not': [{ type: 'date' }, /"date"/],
    'a bound that is no number': [{ type: 'string', maxLength: '5' }, /maxLength is a number/],
    'no type among several': [Type1.Unsafe({ type: [] }), /type is a list of at least one/],
    'a count below nothing': [Type1.Array(Type1.Any(), { maxItems: -1 }), /maxItems is a whole number from 0/],
    'a count of parts': [Type1.String({ maxLength: 1.5 }), /maxLength is a whole number from 0/],
    'multiples of nothing': [Type1.Number({ multipleOf: 0 }), /multipleOf is more than 0/],
    'another draft': [{ $schema: 'http://json-schema.org/draft-04/schema#', type: 'string' }, /\$schema/],
    'a reference to nowhere': [{ $ref: '#/$defs/nope' }, /refers to "#\/\$defs\/nope"/],
    'a reference to elsewhere': [{ $ref: 'https://example.com/x.json' }, /not within it/],
    'a dynamic reference': [{ type: 'object', $dynamicRef: '#x' }, /"\$dynamicRef"/],
    'an unknown format': [{ type: 'string', format: 'postcode' }, /"postcode", which nobody knows/],
    'a format of numbers on a text': [{ type: 'string', format: 'int32' }, /one of numbers/],
    'a format without a type': [{ format: 'email', anyOf: [{ type: 'string' }] }, /add type: 'string'/],
    'a contradiction': [{ type: 'string', minLength: 3, maxLength: 2 }, /nothing can match/],
    'what nothing can match': [{ type: 'object', properties: { a: false }, required: ['a'] }, /nothing can match/],
    'a library within JSON Schema': [{ type: 'object', properties: { a: z.string() } }, /of a library for schemas/],
    'TypeBox within JSON Schema': [{ type: 'object', properties: { a: Type.String() } }, /of a library for schemas/],
    'TypeBox 0.34 within 1.x': [Type1.Object({ a: Type.String() as never }), /build both with one of them/],
    'an option that TypeBox 1.x ignores': [Type1.String({ foo: 1 }), /"foo"/],
    'a codec': [Type1.Decode(Type1.String(), (text) => text.length), /Type\.Codec/],
    'a kind that JSON cannot carry': [Type1.Object({ a: Type1.BigInt() }), /Type\.BigInt, which JSON cannot carry/],
    'a function': [Type1.Function([], Type1.Any()), /Type\.Function/],
    'a keyword that TypeBox 0.34 ignores': [
      Type.String({ enum: ['a'] }),
      /"enum", which TypeBox does not check on Type\.String/
    ],
    'a condition on TypeBox 0.34': [Type.Object({}, { if: Type.Object({}), then: Type.Never() }), /"if"/],
    'another version of the standard': [{ '~standard': { version: 2, validate () {} } }, /version 1/]
  }
  for (const [what, [schema, message]] of Object.entries(refused)) {
    t.throws(() => declared(app, 'refused', schema as SchemaLike), { code: 'REALTIME_ERR_SCHEMA', message }, what)
  }
})

t.test('a schema whose check needs what it belongs to has it', async (t) => {
  const app = await appOf(t)
  const least = { version: 1, vendor: 'own', least: 3, validate (value: unknown) { return { value, least: this.least } } } as const
  const got = declared(app, 'own', { '~standard': least })
  t.match(await post(app, 'own', 'say', 5), { statusCode: 200 })
  t.same(got, [5])
})

t.test('a schema that answers with neither a value nor issues lets nothing through', async (t) => {
  const app = await appOf(t)
  const got = declared(app, 'odd', { '~standard': { version: 1, vendor: 'odd', validate: () => ({}) } })
  t.match(await post(app, 'odd', 'say', 1), { statusCode: 500, body: { code: 'internal' } })
  t.same(got, [])
})
