import { patience } from './clock.js'

/** Milliseconds that an answer may take. */
const PATIENCE = 10_000
/** Key of the token in the session storage, which ends with the tab. */
const KEY = 'realtime-token'

/** The path of the page, below which the routes are. */
const base = location.pathname.replace(/\/+$/, '')

let token = sessionStorage.getItem(KEY) ?? ''

/** A request that failed: by an answer that is no success, or without any answer (then without a status). */
export class Failure extends Error {
  readonly status: number | undefined

  constructor (message: string, status?: number) {
    super(message)
    this.status = status
  }

  /** Whether nobody is signed in who may see this. */
  get isForbidden (): boolean { return this.status === 401 || this.status === 403 }
}

/** Whether a token was given; without one the site's own cookie may let its owner in. */
export function hasToken (): boolean { return token !== '' }

/** Keeps the token for this tab; '' forgets it. */
export function setToken (given: string): void {
  token = given.trim()
  if (token === '') sessionStorage.removeItem(KEY)
  else sessionStorage.setItem(KEY, token)
}

async function ask<T> (path: string, init: RequestInit): Promise<T> {
  const headers = {
    accept: 'application/json',
    ...(init.body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(token === '' ? {} : { authorization: `Bearer ${token}` })
  }
  let answer: Response
  let body: T & { readonly message?: string }
  try {
    answer = await fetch(base + path, { ...init, headers, signal: patience(PATIENCE) })
    body = await answer.json() as typeof body
  } catch {
    throw new Failure('the server does not answer')
  }
  if (!answer.ok) throw new Failure(body.message ?? `the server answered ${answer.status}`, answer.status)
  return body
}

/** Reads from a route below the page. @throws Failure */
export async function get<T> (path: string, query: Readonly<Record<string, string | undefined>> = {}): Promise<T> {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== '') search.set(name, value)
  return await ask<T>(search.size === 0 ? path : `${path}?${search.toString()}`, {})
}

/** Asks for an action. @throws Failure */
export async function act (action: object): Promise<void> {
  await ask('/actions', { method: 'POST', body: JSON.stringify(action) })
}
