import { connect } from '/client.js'

const HISTORY = 50
/** milliseconds that "drop" keeps the page offline, that a typing mark stays, and that pass between two marks */
const OFFLINE = 5_000
const TYPING_SHOWN = 4_000
const TYPING_EVERY = 2_000
/** milliseconds between two messages that stand under one head */
const TOGETHER = 300_000

const $ = (id) => document.getElementById(id)
const roomId = new URLSearchParams(location.search).get('room') ?? 'lobby'
const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })

// Who

async function request (url, body, token) {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body)
  })
  const json = await answer.json()
  if (!answer.ok) throw Object.assign(new Error(json.message), { code: json.code })
  return json
}

const login = async (name) => await request('/login', { name })

// The name is kept for this tab: another tab may be somebody else.
const known = sessionStorage.getItem('name')
if (known === null) showLogin()
else enter(known).catch(showLogin)

function showLogin (error) {
  $('login').hidden = false
  $('login-error').textContent = error?.message ?? ''
  $('name').focus()
}

$('login-form').addEventListener('submit', (event) => {
  event.preventDefault()
  enter($('name').value).catch(showLogin)
})

$('logout').addEventListener('click', () => {
  sessionStorage.removeItem('name')
  location.reload()
})

async function enter (name) {
  const { user, rooms } = await login(name)
  sessionStorage.setItem('name', user.name)
  $('login').hidden = true
  $('app').hidden = false
  $('me').textContent = user.name
  $('rooms').replaceChildren(...rooms.map((id) => {
    const link = Object.assign(document.createElement('a'), { href: `?room=${encodeURIComponent(id)}`, textContent: id })
    if (id === roomId) link.setAttribute('aria-current', 'page')
    return link
  }))
  run(user)
}

// The plug: what "drop my connection" pulls. The client knows nothing of it, it only sees its links die.

let isUnplugged = false
const cuts = new Set()

class Socket extends WebSocket {
  constructor (...args) {
    super(...args)
    const cut = () => { this.close() }
    cuts.add(cut)
    this.addEventListener('close', () => { cuts.delete(cut) })
    if (isUnplugged) cut()
  }
}

async function pluggedFetch (url, init = {}) {
  if (isUnplugged) throw new TypeError('unplugged')
  const controller = new AbortController()
  const cut = () => { controller.abort(new TypeError('unplugged')) }
  cuts.add(cut)
  controller.signal.addEventListener('abort', () => { cuts.delete(cut) })
  const signals = init.signal ? [init.signal, controller.signal] : [controller.signal]
  return await fetch(url, { ...init, signal: AbortSignal.any(signals) })
}

function unplug () {
  isUnplugged = true
  for (const cut of [...cuts]) cut()
}

// The page of one user

function run (user) {
  const list = $('messages')
  const lines = new Map()
  let client
  let room
  /** the last break: events that were published in between carry a mark */
  let broken
  let stop = () => undefined

  function start () {
    stop()
    lines.clear()
    list.replaceChildren(text('li', 'empty', 'Nothing has been said here yet.'))
    const transport = $('transport').value
    const ended = new AbortController()
    const { signal } = ended
    client = connect('/ws', {
      // Asked before each connection, and before the token ends.
      token: async () => (await login(user.name)).token,
      ...(transport === '' ? {} : { transports: [transport] }),
      WebSocket: Socket,
      fetch: pluggedFetch
    })
    room = client.join({ name: `chat/${encodeURIComponent(roomId)}` }, { last: HISTORY })
    const inbox = client.join({ name: `@user/${encodeURIComponent(user.sub)}` }, { last: HISTORY })
    const everyone = client.join({ name: '@all' }, { last: HISTORY })
    for (const each of [room, inbox, everyone]) each.joined.catch((error) => { if (!signal.aborted) notice(`${error.code}: ${error.message ?? ''}`) })

    room.on('said', (event) => { show('said', event) })
    inbox.on('whispered', (event) => { show('direct', event) })
    everyone.on('announced', (event) => { show('announcement', event) })
    room.on('typing', ({ data }) => { showTyping(data) })
    room.on('presence', showOnline)
    client.on('state', showState)
    client.on('error', ({ code, message }) => { notice(`${code}: ${message ?? ''}`) })
    client.on('gap', () => {
      // More was missed than the server keeps: begin anew with what there is.
      if (!signal.aborted) start()
    })
    stop = () => {
      ended.abort()
      client.close()
    }
    showState({ state: client.state })
    showOnline()
  }

  // Messages

  function show (kind, { data, timestamp }) {
    if (lines.has(data.id)) return
    const isOwn = data.by === user.sub
    const line = document.createElement('li')
    line.className = `message ${kind}${isOwn && kind !== 'announcement' ? ' own' : ''}`
    line.dataset.timestamp = timestamp
    const head = document.createElement('header')
    head.append(text('strong', '', isOwn ? 'You' : data.name))
    if (kind === 'direct') head.append(text('em', '', isOwn ? `only to ${nameOf(data.to)}` : 'only to you'))
    if (kind === 'announcement') head.append(text('em', '', 'to everybody'))
    head.append(Object.assign(text('time', '', time.format(timestamp)), { dateTime: new Date(timestamp).toISOString() }))
    if (broken !== undefined && timestamp >= broken.from && timestamp <= broken.to && !isOwn) {
      broken.count++
      head.append(text('span', 'late', 'caught up'))
      showResume()
    }
    line.append(head, text('p', '', data.text))
    line.dataset.author = `${kind} ${data.by} ${data.to ?? ''}`
    lines.set(data.id, line)
    insert(line)
    if (kind === 'said') setTyping(data.by)
  }

  /** Three rooms, each in order: the page sorts them by time. */
  function insert (line) {
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80
    list.querySelector('.empty')?.remove()
    const all = list.children
    let at = all.length
    while (at > 0 && Number(all[at - 1].dataset.timestamp ?? 0) > Number(line.dataset.timestamp)) at--
    list.insertBefore(line, all[at] ?? null)
    for (const each of [line, line.nextElementSibling]) group(each)
    if (isAtEnd || line.classList.contains('own')) list.scrollTop = list.scrollHeight
  }

  /** What one person says in one go stands under one head. */
  function group (line) {
    const before = line?.previousElementSibling
    if (line?.dataset.author === undefined) return
    const isSoon = line.dataset.timestamp - before?.dataset.timestamp < TOGETHER
    line.classList.toggle('follows', isSoon && before.dataset.author === line.dataset.author)
  }

  function notice (message) {
    const line = text('li', 'notice', message)
    line.dataset.timestamp = Date.now()
    insert(line)
  }

  $('say-form').addEventListener('submit', async (event) => {
    event.preventDefault()
    const said = $('text').value
    const to = $('to').value
    $('text').value = ''
    typedAt = 0
    $('send-error').textContent = ''
    const pending = text('li', 'message own pending', said)
    pending.dataset.timestamp = Number.MAX_SAFE_INTEGER
    insert(pending)
    try {
      if (to === '') await room.send('say', { text: said })
      else {
        const { online } = await room.send('whisper', { to, text: said })
        if (!online) notice(`${nameOf(to)} is away; the message is kept for an hour`)
      }
    } catch (error) {
      $('send-error').textContent = `Not sent (${error.code ?? error.name}): ${error.message}`
      if ($('text').value === '') $('text').value = said
    } finally {
      pending.remove()
    }
  })

  // Typing

  const typing = new Map()
  let typedAt = 0

  $('text').addEventListener('input', () => {
    if (Date.now() - typedAt < TYPING_EVERY || client.state !== 'open' || $('to').value !== '') return
    typedAt = Date.now()
    room.send('type', {}).catch(() => undefined)
  })

  function showTyping ({ by, name }) {
    setTyping(by, { name, timer: setTimeout(() => { setTyping(by) }, TYPING_SHOWN) })
  }

  function setTyping (by, entry) {
    clearTimeout(typing.get(by)?.timer)
    if (entry === undefined) typing.delete(by)
    else typing.set(by, entry)
    const names = [...typing.values()].map(({ name }) => name)
    $('typing').textContent = names.length === 0 ? '' : `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} typing …`
  }

  // Presence

  function nameOf (userId) { return room.members.get(userId)?.data?.name ?? userId }

  function showOnline () {
    const members = [...room.members.values()].sort((a, b) => a.data.name.localeCompare(b.data.name))
    $('online-count').textContent = members.length
    $('online').replaceChildren(...members.map(({ userId, data }) => text('li', '', userId === user.sub ? `${data.name} (you)` : data.name)))
    const to = $('to').value
    const others = members.filter(({ userId }) => userId !== user.sub)
    $('to').replaceChildren(
      new Option('Everybody here', ''),
      ...others.map(({ userId, data }) => new Option(`Only ${data.name}`, userId)),
      ...(to !== '' && !others.some(({ userId }) => userId === to) ? [new Option(`Only ${to} (away)`, to)] : [])
    )
    $('to').value = to
  }

  // Connection

  const STATES = { connecting: 'Connecting', open: 'Connected', reconnecting: 'Reconnecting', closed: 'Disconnected' }
  const TRANSPORTS = { websocket: 'WebSocket', sse: 'Server-Sent Events', polling: 'long polling' }
  const BANNERS = {
    reconnecting: 'The connection is lost. The page tries again by itself; nothing that is said meanwhile is missed.',
    closed: 'The connection has ended. Reload the page to come back.'
  }

  function showState ({ state = client.state } = {}) {
    const isOpen = state === 'open'
    $('app').dataset.state = $('state').dataset.state = state
    $('state-text').textContent = `${STATES[state] ?? state}${isOpen ? ` by ${TRANSPORTS[client.transport]}` : ''}`
    $('banner').textContent = BANNERS[state] ?? ''
    $('send').disabled = !isOpen
    $('online').title = isOpen ? '' : 'as it was before the connection was lost'
    if (state === 'open') {
      if (broken !== undefined && broken.to === Infinity) {
        broken.to = Date.now()
        showResume()
      }
      showOnline()
    }
  }

  function showResume () {
    if (broken.to === Infinity) return
    $('resume').textContent = `Back after ${((broken.to - broken.from) / 1_000).toFixed(1)} s; ${broken.count === 1 ? '1 message was' : `${broken.count} messages were`} caught up, nothing was lost.`
  }

  $('drop').addEventListener('click', () => {
    broken = { from: Date.now(), to: Infinity, count: 0 }
    $('drop').disabled = true
    $('resume').textContent = 'The link is cut. Let somebody say something now …'
    unplug()
    setTimeout(() => {
      isUnplugged = false
      $('drop').disabled = false
      $('resume').textContent = 'The network is back; the client returns by itself.'
    }, OFFLINE)
  })

  $('transport').addEventListener('change', start)

  // REST

  $('announce-form').addEventListener('submit', async (event) => {
    event.preventDefault()
    $('announce-error').textContent = ''
    try {
      const { token } = await login(user.name)
      await request('/announce', { text: $('announcement').value }, token)
      $('announcement').value = ''
    } catch (error) {
      $('announce-error').textContent = error.message
    }
  })

  start()
}

/** An element with text: what others wrote is never parsed as HTML. */
function text (name, className, content) {
  return Object.assign(document.createElement(name), { className, textContent: content })
}
