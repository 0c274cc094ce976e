import { connect } from '/client.js'

/** Milliseconds between two messages: 20 a second are smooth, and well below the rate that the server allows. */
const PACE = 50

const $ = (id) => document.getElementById(id)
const client = connect('/ws', {
  async token () {
    const kept = sessionStorage.getItem('token')
    if (kept !== null) return kept
    const answer = await fetch('/guest', { method: 'POST' })
    if (!answer.ok) throw new Error(`/guest answers ${answer.status}`)   // then the client tries again
    const { token } = await answer.json()
    sessionStorage.setItem('token', token)
    return token
  }
})
const room = client.join(`boards/${encodeURIComponent(new URL(location.href).searchParams.get('board') ?? '1')}`)

client.on('state', ({ state }) => {
  $('state').dataset.state = state
  $('state-text').textContent = { connecting: 'Connecting', open: 'Connected', reconnecting: 'Reconnecting' }[state] ?? 'Closed'
})
// A token of an earlier run of the server: take another one.
client.on('error', ({ code }) => { if (code === 'unauthorized') sessionStorage.removeItem('token') })

const dots = new Map()

function draw () {
  const pointers = room.state.get('pointer') ?? new Map()
  for (const [by, dot] of dots) if (!pointers.has(by) && dots.delete(by)) dot.remove()
  for (const [by, { x, y }] of pointers) {
    if (by === client.userId) continue
    const dot = dots.get(by) ?? Object.assign(document.createElement('div'), { className: 'pointer' })
    if (!dots.has(by)) $('board').append(dot)
    dots.set(by, dot)
    const { name, hue } = room.members.get(by)?.data ?? { name: 'Guest', hue: 0 }
    dot.textContent = name
    dot.style.setProperty('--hue', hue)
    dot.style.left = `${x * 100}%`
    dot.style.top = `${y * 100}%`
  }
  $('members').replaceChildren(...[...room.members.values()].map(({ userId, data }) => {
    const textContent = userId === client.userId ? `${data.name} (you)` : data.name
    const item = Object.assign(document.createElement('li'), { textContent })
    item.style.setProperty('--hue', data.hue)
    return item
  }))
}
for (const event of ['pointer', 'removed', 'presence']) room.on(event, draw)
room.joined.then(draw, () => {})

let next, timer
$('board').addEventListener('pointermove', ({ clientX, clientY }) => {
  const { left, top, width, height } = $('board').getBoundingClientRect()
  const within = (part) => Math.min(1, Math.max(0, part))
  next = { x: within((clientX - left) / width), y: within((clientY - top) / height) }
  // The newest place after each pause, and none while nothing moves.
  timer ??= setTimeout(() => {
    timer = undefined
    if (client.state === 'open') room.send('point', next, { timeout: 1_000 }).catch(() => {})
  }, PACE)
})
