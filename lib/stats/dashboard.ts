import { createHash } from 'node:crypto'

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #3b6fd4; --bad: #c0392b }
* { box-sizing: border-box }
body { margin: 0; font: 15px/1.45 system-ui, sans-serif }
main, header { max-width: 72rem; margin: 0 auto; padding: 1rem }
header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center }
h1 { font-size: 1.15rem; margin: 0; flex: 1 1 auto }
h2 { font-size: .8rem; text-transform: uppercase; letter-spacing: .06em; margin: 1.5rem 0 .5rem; opacity: .7 }
form { display: flex; gap: .5rem; flex: 1 1 18rem; max-width: 30rem }
input { flex: 1; min-width: 0; font: inherit; padding: .4rem .6rem; border: 1px solid var(--line); border-radius: .4rem; background: transparent; color: inherit }
button { font: inherit; padding: .4rem .8rem; border: 1px solid var(--line); border-radius: .4rem; background: var(--soft); color: inherit; cursor: pointer }
#state { font-size: .85rem; flex: 1 1 100%; min-height: 1.3em }
#state.bad { color: var(--bad) }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: .6rem }
.card { border: 1px solid var(--line); border-radius: .6rem; padding: .7rem .8rem; background: var(--soft) }
.card b { display: block; font-size: 1.5rem; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.2; overflow-wrap: anywhere }
.card small { opacity: .75 }
meter { width: 100%; height: .5rem; margin-top: .3rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line); white-space: nowrap }
td.n, th.n { text-align: right }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 0 2rem }
`

const SCRIPT = `
const base = location.pathname.replace(/\\/$/, '')
const $ = (id) => document.getElementById(id)
const number = new Intl.NumberFormat()
const bytes = (n) => n < 1024 ? n + ' B' : n < 1048576 ? (n / 1024).toFixed(1) + ' KiB' : (n / 1048576).toFixed(1) + ' MiB'
let last, after = 0
$('token').value = sessionStorage.getItem('realtime-token') || ''
const headers = () => { const token = $('token').value.trim(); return token ? { accept: 'application/json', authorization: 'Bearer ' + token } : { accept: 'application/json' } }
function say (text, bad) { $('state').textContent = text; $('state').className = bad ? 'bad' : '' }
function card (title, value, more, part) {
  const card = document.createElement('div'); card.className = 'card'
  const label = document.createElement('small'); label.textContent = title
  const strong = document.createElement('b'); strong.textContent = value
  card.append(label, strong)
  if (more) { const small = document.createElement('small'); small.textContent = more; card.append(small) }
  if (part !== undefined) { const meter = document.createElement('meter'); meter.max = 100; meter.high = 90; meter.value = part; card.append(meter) }
  return card
}
function rows (id, list) {
  $(id).replaceChildren(...list.map((cells) => { const tr = document.createElement('tr'); tr.append(...cells.map((cell) => { const td = document.createElement('td'); td.textContent = typeof cell === 'number' ? number.format(cell) : cell; if (typeof cell === 'number') td.className = 'n'; return td })); return tr }))
}
const table = (object) => Object.entries(object).sort((a, b) => b[1] - a[1])
function show (s) {
  const now = performance.now(), span = last ? (now - last.at) / 1000 : 0
  const rate = (value, before) => span ? number.format(Math.round((value - before) / span)) + ' /s' : '-'
  const { connections: c, ledger: l } = s
  $('cards').replaceChildren(
    card('connections', number.format(c.total), c.capacityPercent + ' % of ' + number.format(c.max), c.capacityPercent),
    card('users', number.format(s.users)),
    card('rooms', number.format(s.rooms.active)),
    card('messages in', rate(s.messages.in, last && last.s.messages.in), number.format(s.messages.in) + ' in all'),
    card('deliveries', rate(s.events.out, last && last.s.events.out), number.format(s.events.out) + ' in all'),
    card('sent', span ? bytes(Math.round((s.events.bytesOut - last.s.events.bytesOut) / span)) + '/s' : '-', bytes(s.events.bytesOut) + ' in all'),
    card('outboxes', bytes(s.outbox.bytes), number.format(s.outbox.frames) + ' frames wait'),
    card('event loop delay, p99', s.eventLoop.p99 + ' ms', 'max ' + s.eventLoop.max + ' ms'))
  rows('transports', Object.entries(c.transports).map(([name, open]) => [name, open, c.opened[name]]))
  rows('ledger', ['meant', 'delivered', 'resumed', 'conflated', 'dropped', 'gone', 'queued', 'gaps'].map((name) => [name, l[name]]))
  rows('definitions', Object.entries(s.rooms.definitions).map(([name, d]) => [name, d.rooms, d.members]))
  rows('refusals', table(s.refusals)); rows('closes', table(s.closes)); rows('errors', table(s.messages.errors))
  last = { s, at: now }
  say((s.accepting ? 'accepting' : 'draining') + ' \\u00b7 node ' + s.node + ' \\u00b7 adapter ' + s.adapter.name + ' \\u00b7 up ' + Math.round(s.uptime / 1000) + ' s', !s.accepting)
}
async function rooms () {
  const answer = await fetch(base + '/rooms?limit=20&after=' + after, { headers: headers() })
  if (!answer.ok) return
  const { items, total, next } = await answer.json()
  rows('rooms', items.map((room) => [room.name, room.members, room.offset === undefined ? '-' : room.offset]))
  $('page').textContent = total ? (after + 1) + '-' + (after + items.length) + ' of ' + total : 'none'
  $('back').disabled = after === 0; $('next').disabled = next === undefined
}
async function tick () {
  try {
    const answer = await fetch(base + '?format=json', { headers: headers() })
    const body = await answer.json()
    if (answer.ok) { show(body); await rooms() } else say(body.message + ' (' + body.code + '): give an admin token or the scrape token', true)
  } catch { say('the server does not answer', true) }
}
$('form').addEventListener('submit', (event) => { event.preventDefault(); sessionStorage.setItem('realtime-token', $('token').value.trim()); last = undefined; tick() })
$('back').addEventListener('click', () => { after = Math.max(0, after - 20); rooms() })
$('next').addEventListener('click', () => { after += 20; rooms() })
tick(); setInterval(() => { if (!document.hidden) tick() }, 2000)
`

const sha = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** The page runs its own script and style and talks to its own server, nothing else. */
export const DASHBOARD_CSP = `default-src 'none'; script-src ${sha(SCRIPT)}; style-src ${sha(STYLE)}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

/** The dashboard: public, because it holds no data; what it shows it fetches with the token that the reader types. */
export const DASHBOARD = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>realtime stats</title><style>${STYLE}</style></head>
<body>
<header><h1>realtime stats</h1>
<form id="form"><input id="token" type="password" autocomplete="off" aria-label="admin or scrape token" placeholder="admin or scrape token"><button>Show</button></form>
<div id="state" role="status">no data yet</div></header>
<main>
<section class="cards" id="cards" aria-label="figures"></section>
<div class="two">
<section><h2>Transports</h2><div class="scroll"><table><thead><tr><th>transport<th class="n">open<th class="n">opened</thead><tbody id="transports"></tbody></table></div></section>
<section><h2>Ledger</h2><div class="scroll"><table><tbody id="ledger"></tbody></table></div></section>
<section><h2>Definitions</h2><div class="scroll"><table><thead><tr><th>definition<th class="n">rooms<th class="n">members</thead><tbody id="definitions"></tbody></table></div></section>
<section><h2>Refusals</h2><div class="scroll"><table><tbody id="refusals"></tbody></table></div></section>
<section><h2>Closes</h2><div class="scroll"><table><tbody id="closes"></tbody></table></div></section>
<section><h2>Message errors</h2><div class="scroll"><table><tbody id="errors"></tbody></table></div></section>
</div>
<section><h2>Rooms</h2><div class="scroll"><table><thead><tr><th>room<th class="n">members<th class="n">offset</thead><tbody id="rooms"></tbody></table></div>
<p><button id="back" disabled>Back</button> <button id="next" disabled>Next</button> <small id="page"></small></p></section>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`
