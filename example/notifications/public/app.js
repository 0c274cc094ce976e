import { connect } from '/client.js'

const $ = (id) => document.getElementById(id)
const user = new URL(location.href).searchParams.get('user') ?? 'ada'
const link = [...document.querySelectorAll('nav a')].find(({ href }) => href.endsWith(`user=${user}`))
link?.setAttribute('aria-current', 'page')

async function token () {
  const answer = await fetch(`/login/${encodeURIComponent(user)}`, { method: 'POST' })
  if (!answer.ok) throw new Error(`/login answers ${answer.status}`)   // then the client tries again
  return (await answer.json()).token
}
/** A call of the REST routes, with the same token as the link. */
const call = async (url, method = 'GET') => await fetch(url, { method, headers: { authorization: `Bearer ${await token()}` } })

const client = connect('/ws', { token })
client.on('state', ({ state }) => {
  $('state').dataset.state = state
  $('state-text').textContent = { connecting: 'Connecting', open: 'Connected', reconnecting: 'Reconnecting' }[state] ?? 'Closed'
})
client.on('gap', () => { $('error').textContent = 'Some notices were missed: more than the server keeps.' })

// Every connection of the user is in this room from the start. `join` listens, and `last` asks for what came before.
const inbox = client.join(`@user/${encodeURIComponent(user)}`, { last: 50 })
const seen = `seen-${user}`
let newest = 0
inbox.on('shipped', ({ data: { what, order }, timestamp }) => {
  newest = timestamp
  const item = Object.assign(document.createElement('li'), { textContent: `${what} is on its way (order ${order})` })
  $('notices').prepend(item)
  item.dataset.timestamp = timestamp
  count()
})

function count () {
  const items = [...$('notices').children]
  const fresh = items.filter((item) => Number(item.dataset.timestamp) > Number(localStorage.getItem(seen) ?? 0))
  for (const item of items) item.classList.toggle('fresh', fresh.includes(item))
  $('count').textContent = fresh.length
  $('count').hidden = $('seen').hidden = fresh.length === 0
  $('none').hidden = items.length > 0
}
$('seen').addEventListener('click', () => { localStorage.setItem(seen, newest); count() })
window.addEventListener('storage', count)
for (const { id, owner, what } of await (await call('/orders')).json()) {
  const item = Object.assign(document.createElement('li'), { className: 'row', textContent: `${id}: ${what}, for ${owner}` })
  const button = Object.assign(document.createElement('button'), { textContent: `Ship ${id}` })
  button.addEventListener('click', async () => {
    const answer = await call(`/orders/${id}/ship`, 'POST')
    $('error').textContent = answer.ok ? '' : (await answer.json()).message
  })
  $('orders').appendChild(item).append(button)
}
