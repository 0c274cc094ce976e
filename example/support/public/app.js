import { connect } from '/ws/client.js'

const $ = (id) => document.getElementById(id)
const STATES = { connecting: 'Connecting', open: '', reconnecting: 'Reconnecting', closed: 'Disconnected' }
/** milliseconds between two words that somebody types, and for which they are shown */
const TYPING = { every: 2_000, shown: 3_000 }

const drafts = new Map()   // what stood in the field, by the conversation
let client, me, quiet, room
let told = 0

$('login').addEventListener('submit', async (event) => {
  event.preventDefault()
  const body = JSON.stringify({ name: $('name').value, password: $('password').value })
  const answer = await fetch('/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  const { message, role, token } = await answer.json()
  fail(message)
  if (!answer.ok) return
  me = { name: $('name').value, role, token }
  $('login').hidden = true
  $('main').hidden = false
  client = connect('/ws', { token: () => token })
  client.on('error', (error) => fail(error.retryIn === undefined ? `${error.code}: ${error.message}` : undefined))
  client.on('state', drawState)
  drawState()
  if (role === 'agent') watchDesk()
  else open(me.name)
})

function fail (message) { $('error').textContent = message ?? '' }

function drawState () {
  $('state').textContent = STATES[client.state]
  for (const control of $('form').elements) control.disabled = client.state !== 'open' || room === undefined
}

/** Loads a part of the history; its header says up to which event it goes. */
async function load (path) {
  const answer = await fetch(path, { headers: { authorization: `Bearer ${me.token}` } })
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`)
  return { answer, messages: await answer.json() }
}

function watchDesk () {
  const newest = new Map()
  const draw = () => {
    const lines = [...newest.values()].sort((one, other) => other.id - one.id)
    $('desk').replaceChildren(...lines.map(({ customer, by, text }) => {
      const button = document.createElement('button')
      button.append(Object.assign(document.createElement('b'), { textContent: customer }), ` ${by}: ${text}`)
      button.setAttribute('aria-current', room?.name === `conversations/${customer}`)
      button.addEventListener('click', () => { open(customer); draw() })
      return button
    }))
  }
  const all = client.join('desk')
  all.on('said', ({ data }) => {
    if (data.id > (newest.get(data.customer)?.id ?? 0)) newest.set(data.customer, data)
    draw()
  })
  $('desk').hidden = false
  all.snapshot(async () => {
    const { answer, messages } = await load('/conversations')
    newest.clear()
    for (const message of messages) newest.set(message.customer, message)
    draw()
    return answer
  }).catch((error) => fail(error.message))
}

function open (customer) {
  if (room !== undefined) drafts.set(room.name, $('text').value)
  room?.leave()
  const here = room = client.join(`conversations/${customer}`)
  $('text').value = drafts.get(here.name) ?? ''
  told = 0
  const shown = new Set()
  clearTimeout(quiet)
  for (const id of ['list', 'members', 'typing']) $(id).replaceChildren()
  const show = (message) => {
    if (shown.has(message.id)) return
    shown.add(message.id)
    // In the order of the database, which need not be that in which the events come.
    $('list').insertBefore(lineOf(message), [...$('list').children].find(({ value }) => value > message.id) ?? null)
    $('list').scrollTop = $('list').scrollHeight
  }
  const drawMembers = () => {
    const others = [...here.members.values()].filter(({ userId }) => userId !== me.name)
    $('members').textContent = others.length === 0
      ? 'Nobody else is here'
      : `Here: ${others.map(({ userId, data }) => `${userId} (${data.role})`).join(', ')}`
  }
  here.on('said', ({ data }) => { show(data); $('typing').textContent = '' })
  here.on('presence', drawMembers)
  here.on('typing', ({ data }) => {
    $('typing').textContent = `${data.by} is typing`
    clearTimeout(quiet)
    quiet = setTimeout(() => { $('typing').textContent = '' }, TYPING.shown)
  })
  here.joined.then(drawMembers, () => {})
  here.snapshot(async () => {
    const { answer, messages } = await load(`/conversations/${customer}`)
    if (room !== here) return answer
    $('list').replaceChildren()
    shown.clear()
    for (const message of messages) show(message)
    return answer
  }).catch((error) => { if (room === here) fail(error.message) })
  drawState()
}

function lineOf ({ id, by, text, at }) {
  const line = document.createElement('li')
  line.value = id
  line.className = by === me.name ? 'mine' : 'theirs'
  line.append(Object.assign(document.createElement('span'), { textContent: text }))
  const when = new Date(at).toLocaleTimeString([], { timeStyle: 'short' })
  line.append(Object.assign(document.createElement('small'), { textContent: `${by}, ${when}` }))
  return line
}

$('text').addEventListener('input', () => {
  if (client.state !== 'open' || Date.now() - told < TYPING.every) return
  told = Date.now()
  room.send('type', {}, { timeout: TYPING.every }).catch(() => {})
})

$('form').addEventListener('submit', async (event) => {
  event.preventDefault()
  const text = $('text').value.trim()
  if (text === '') return
  // A handle of its own: `room` may be left before the server has the message, and a handle takes its messages along.
  const here = client.join(room.name)
  $('text').value = ''
  told = 0                   // who goes on typing is shown at once
  try {
    await here.send('say', { text })
  } catch (error) {
    fail(`not sent: ${error.message}`)
    // Back into the field of its conversation, before what was written there meanwhile.
    if (room.name === here.name) $('text').value = `${text} ${$('text').value}`.trim()
    else drafts.set(here.name, `${text} ${drafts.get(here.name) ?? ''}`.trim())
  } finally { here.leave() }
})
