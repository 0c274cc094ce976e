/**
 * What runs in the dashboard: asks its own server every two seconds with the token that the reader typed. All that it
 * shows goes in as text, so that a room's name cannot be markup.
 */
export const SCRIPT = `
const PAGE = 20
const EVERY = 2000
const KEY = 'realtime-token'
const base = location.pathname.replace(/\\/+$/, '')
const $ = (id) => document.getElementById(id)
const number = new Intl.NumberFormat('en')
let last, timer, turn = 0, after = 0, stopped = false
$('token').value = sessionStorage.getItem(KEY) || ''

function scaled (n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit++ }
  return (unit === 0 ? n : n.toFixed(1)) + ' ' + units[unit]
}
function lasting (ms) {
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']]
  let left = Math.floor(ms / 1000)
  const said = []
  for (const [size, name] of parts) {
    const n = Math.floor(left / size)
    left -= n * size
    if (n > 0 && said.length < 2) said.push(n + '\\u00a0' + name)
  }
  return said.join('\\u00a0') || '0\\u00a0s'
}
function element (name, text, className) {
  const made = document.createElement(name)
  if (text !== undefined) made.textContent = text
  if (className) made.className = className
  return made
}
function say (text, className) { $('state').textContent = text; $('state').className = className || '' }
function card (title, value, more, percent) {
  const made = element('div', undefined, 'card')
  made.append(element('small', title), element('b', value), element('small', more))
  if (percent !== undefined) {
    const meter = element('meter')
    meter.max = 100; meter.high = 90; meter.optimum = 0; meter.value = percent
    meter.setAttribute('aria-label', title)
    made.append(meter)
  }
  return made
}
function rows (id, list) {
  const made = list.map((cells) => {
    const row = element('tr')
    row.append(...cells.map((cell) => element('td', typeof cell === 'number' ? number.format(cell) : cell)))
    return row
  })
  if (made.length === 0) { const row = element('tr'); row.append(element('td', 'none', 'none')); made.push(row) }
  $(id).replaceChildren(...made)
}
const counted = (object) => Object.entries(object).sort((a, b) => b[1] - a[1])

function show (s) {
  const now = performance.now()
  if (last && (s.node !== last.s.node || s.uptime < last.s.uptime)) last = undefined
  const span = last ? (now - last.at) / 1000 : 0
  const rate = (of, format) => span === 0 ? '\\u2013' : format((of(s) - of(last.s)) / span) + '/s'
  const whole = (n) => number.format(Math.round(n)) + ' '
  const { connections: c, ledger: l, eventLoop: e } = s
  $('cards').replaceChildren(
    card('connections', number.format(c.total), c.capacityPercent + ' % of ' + number.format(c.max), c.capacityPercent),
    card('users', number.format(s.users), 'on this node'),
    card('rooms', number.format(s.rooms.active), 'with members'),
    card('event loop delay, p99', e.p99 + ' ms', 'p50 ' + e.p50 + ' \\u00b7 max ' + e.max + ' ms'),
    card('messages in', rate((s) => s.messages.in, whole), number.format(s.messages.in) + ' in all'),
    card('events delivered', rate((s) => s.events.out, whole), number.format(s.events.out) + ' in all'),
    card('sent', rate((s) => s.events.bytesOut, (n) => scaled(Math.round(n))), scaled(s.events.bytesOut) + ' in all'),
    card('outboxes', scaled(s.outbox.bytes), number.format(s.outbox.frames) + ' frames wait'))
  rows('transports', Object.entries(c.transports).map(([name, open]) => [name, open, c.opened[name]]))
  rows('ledger', ['meant', 'delivered', 'resumed', 'conflated', 'dropped', 'gone', 'queued', 'gaps'].map((name) => [name, l[name]]))
  rows('definitions', Object.entries(s.rooms.definitions).map(([name, d]) => [name, d.rooms, d.members]))
  rows('refusals', counted(s.refusals))
  rows('closes', counted(s.closes))
  rows('errors', counted(s.messages.errors))
  if (!last || span >= 1) last = { s, at: now }
  const isDown = s.adapter.isUp === false
  say([s.accepting ? 'accepting' : 'not accepting', 'node ' + s.node, 'adapter ' + s.adapter.name + (isDown ? ' is down' : ''), 'up\\u00a0' + lasting(s.uptime)].join(' \\u00b7 '), s.accepting && !isDown ? 'good' : 'bad')
}
function list ({ items, total, next }) {
  rows('rooms', items.map((room) => [room.name, room.members, room.offset === undefined ? '\\u2013' : room.offset]))
  $('page').textContent = items.length ? number.format(after + 1) + '\\u2013' + number.format(after + items.length) + ' of ' + number.format(total) : ''
  $('back').disabled = after === 0
  $('next').disabled = next === undefined
}
async function get (path) {
  const token = $('token').value.trim()
  const headers = token ? { accept: 'application/json', authorization: 'Bearer ' + token } : { accept: 'application/json' }
  const answer = await fetch(base + path, { headers, signal: AbortSignal.timeout(10000) })
  const body = await answer.json()
  if (!answer.ok) throw Object.assign(new Error(body.message), { status: answer.status })
  return body
}
async function tick () {
  clearTimeout(timer)
  const mine = ++turn
  try {
    const stats = await get('?format=json')
    let rooms = await get('/rooms?limit=' + PAGE + '&after=' + after)
    if (mine !== turn) return
    // Rooms went while a late page was open.
    if (rooms.items.length === 0 && after > 0) { after = 0; rooms = await get('/rooms?limit=' + PAGE) }
    if (mine !== turn) return
    show(stats)
    list(rooms)
    $('main').hidden = false
  } catch (error) {
    if (mine !== turn) return
    // Asking again with the same token would be refused again, and counted by a rate limit.
    stopped = error.status === 401 || error.status === 403
    if (error.status === 401 && !$('token').value.trim()) say('Give an admin\\u2019s token or the scrape token to see the figures.')
    else if (stopped) say(error.message + ': give an admin\\u2019s token or the scrape token', 'bad')
    else say(error.status ? error.message : 'the server does not answer', 'bad')
  }
  if (!stopped) timer = setTimeout(() => { if (!document.hidden) tick() }, EVERY)
}
document.addEventListener('visibilitychange', () => { if (!document.hidden && !stopped) tick() })
$('form').addEventListener('submit', (event) => {
  event.preventDefault()
  sessionStorage.setItem(KEY, $('token').value.trim())
  last = undefined; after = 0; stopped = false
  tick()
})
$('back').addEventListener('click', () => { after = Math.max(0, after - PAGE); tick() })
$('next').addEventListener('click', () => { after += PAGE; tick() })
tick()
`
