import type { RoomView } from '../../inspector.js'
import type { Page } from '../../paging.js'
import type { StatsSnapshot } from '../../snapshot.js'
import { byId, say } from './elements.js'
import { forget, list, show } from './figures.js'

/** Rooms on one page. */
const ROOMS = 20
/** Milliseconds between two requests. */
const EVERY = 2_000
/** Milliseconds that an answer may take. */
const PATIENCE = 10_000
/** Key of the token in the session storage, which ends with the tab. */
const KEY = 'realtime-token'

const base = location.pathname.replace(/\/+$/, '')
const input = byId<HTMLInputElement>('token')
let timer: ReturnType<typeof setTimeout> | undefined
/** Number of the newest request. When several are under way, only the newest shows its answer. */
let turn = 0
/** Number of rooms before the page that is shown. */
let after = 0
/** Whether the token was refused: further requests would be refused too, and a rate limit would count them. */
let isStopped = false

/** A request that failed: an answer that is no success, or no answer (then without `status`). */
type Failure = Error & { readonly status?: number }

async function get<T> (path: string): Promise<T> {
  const token = input.value.trim()
  const headers = { accept: 'application/json', ...(token === '' ? {} : { authorization: `Bearer ${token}` }) }
  const answer = await fetch(base + path, { headers, signal: AbortSignal.timeout(PATIENCE) })
  const body = await answer.json() as T & { readonly message?: string }
  if (!answer.ok) throw Object.assign(new Error(body.message), { status: answer.status })
  return body
}

function explain ({ status, message }: Failure): void {
  isStopped = status === 401 || status === 403
  if (status === 401 && input.value.trim() === '') {
    say('Give an admin\u2019s token or the scrape token to see the figures.')
  } else if (isStopped) say(`${message}: give an admin\u2019s token or the scrape token`, 'bad')
  else say(status === undefined ? 'the server does not answer' : message, 'bad')
}

async function tick (): Promise<void> {
  clearTimeout(timer)
  const mine = ++turn
  try {
    const stats = await get<StatsSnapshot>('?format=json')
    let rooms = await get<Page<RoomView>>(`/rooms?limit=${ROOMS}&after=${after}`)
    if (mine !== turn) return
    // The list became shorter while a late page was open.
    if (rooms.items.length === 0 && after > 0) {
      after = 0
      rooms = await get(`/rooms?limit=${ROOMS}`)
    }
    if (mine !== turn) return
    show(stats)
    list(rooms, after)
    byId('main').hidden = false
  } catch (error) {
    if (mine !== turn) return
    explain(error as Failure)
  }
  if (!isStopped) timer = setTimeout(() => { if (!document.hidden) void tick() }, EVERY)
}

input.value = sessionStorage.getItem(KEY) ?? ''
document.addEventListener('visibilitychange', () => { if (!document.hidden && !isStopped) void tick() })
byId('form').addEventListener('submit', (event) => {
  event.preventDefault()
  sessionStorage.setItem(KEY, input.value.trim())
  forget()
  after = 0
  isStopped = false
  void tick()
})
byId('back').addEventListener('click', () => {
  after = Math.max(0, after - ROOMS)
  void tick()
})
byId('next').addEventListener('click', () => {
  after += ROOMS
  void tick()
})
void tick()
