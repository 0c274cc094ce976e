import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { defineRoom, type ApiOptions } from '../../lib/index.js'
import { start, type Running, type StartOptions } from '../helpers/net.js'

/** A key that may do everything everywhere. */
export const ROOT = 'root-'.padEnd(40, 'k')
/** A key that may publish orders, and nothing else. */
export const SHOP = 'shop-'.padEnd(40, 'k')
/** A key that may read orders, and nothing else. */
export const VIEW = 'view-'.padEnd(40, 'k')
/** A key that may do what it likes with orders. */
export const DESK = 'desk-'.padEnd(40, 'k')

export const orders = defineRoom('orders/:id', {
  events: {
    created: Type.Object({ n: Type.Integer() }),
    note: Type.Object({ text: Type.String() }),
    price: { data: Type.Object({ item: Type.String(), euro: Type.Number() }), delivery: 'latest', key: 'item' }
  }
})
export const lobby = defineRoom('lobby', { events: { created: Type.Object({ text: Type.String() }) } })
export const bare = defineRoom('bare/:id', { events: { tick: Type.Object({}) } })

export const large = defineRoom('large/:id', {
  events: {
    sheet: { data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'latest', key: 'id' }
  }
})

export const KEYS: ApiOptions['keys'] = [
  { key: ROOT, name: 'root', rooms: ['*'], may: ['publish', 'read', 'revoke', 'members', 'clear'] },
  { key: SHOP, name: 'shop', rooms: ['orders/*'], may: ['publish'] },
  { key: VIEW, name: 'view', rooms: ['orders/*'], may: ['read'] },
  { key: DESK, name: 'desk', rooms: ['orders/*'], may: ['publish', 'members', 'revoke', 'clear'] }
]

export function declareOrders (app: FastifyInstance): void {
  app.room(orders, { presence: true })
  app.room(lobby)
  app.room(large)
  app.room(bare, { history: false })
}

export interface Answer { readonly status: number, readonly headers: Record<string, unknown>, readonly body: never }

/** Asks the server API inside the process; a text is sent as it is. */
export interface Api extends Running {
  post (path: string, body: unknown, key?: string, headers?: Record<string, string>): Promise<Answer>
  get (path: string, key?: string): Promise<Answer>
}

export async function startApi (t: Test, options: Partial<ApiOptions> = {}, more: StartOptions = {}): Promise<Api> {
  const running = await start(t, { declare: declareOrders, api: { keys: KEYS, ...options }, ...more })
  const ask = async (
    method: 'GET' | 'POST',
    path: string,
    key: string,
    headers: Record<string, string>,
    payload?: string
  ): Promise<Answer> => {
    const answer = await running.app.inject({
      method,
      url: `/ws/api/${path}`,
      headers: { ...(key === '' ? {} : { authorization: `Bearer ${key}` }), ...headers },
      ...(payload === undefined ? {} : { payload })
    })
    return { status: answer.statusCode, headers: answer.headers, body: answer.json() }
  }
  return {
    ...running,
    post: async (path, body, key = ROOT, headers = {}) => await ask(
      'POST',
      path,
      key,
      { 'content-type': 'application/json', ...headers },
      typeof body === 'string' ? body : JSON.stringify(body)
    ),
    get: async (path, key = ROOT) => await ask('GET', path, key, {})
  }
}
