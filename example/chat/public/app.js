import { connect } from '/client.js'
import { isBack } from './break.js'
import { startComposer } from './composer.js'
import { askName, login, request } from './login.js'
import { clearMessages, notice, showMessage } from './messages.js'
import { $ } from './page.js'
import { setTyping, showOnline, showPeople } from './people.js'
import { pluggedFetch, Socket } from './plug.js'

const HISTORY = 50
const STATES = { connecting: 'Connecting', open: 'Connected', reconnecting: 'Reconnecting', closed: 'Disconnected' }
const TRANSPORTS = { websocket: 'WebSocket', sse: 'Server-Sent Events', polling: 'long polling' }
const BANNERS = {
  reconnecting: 'The connection is lost. The page tries again by itself; nothing that is said meanwhile is missed.',
  closed: 'The connection has ended. Reload the page to come back.'
}

const roomId = new URLSearchParams(location.search).get('room') ?? 'lobby'
let client
let room
let stop = () => undefined

askName((user, rooms) => {
  $('rooms').replaceChildren(...rooms.map((id) => {
    const link = Object.assign(document.createElement('a'), { href: `?room=${encodeURIComponent(id)}`, textContent: id })
    if (id === roomId) link.setAttribute('aria-current', 'page')
    return link
  }))
  start(user)
  startComposer(() => ({ client, room }))
  $('transport').addEventListener('change', () => { start(user) })
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
})

/** Connects, by the chosen transport, and shows what there is. */
function start (user) {
  stop()
  clearMessages()
  const transport = $('transport').value
  let isOver = false
  client = connect('/ws', {
    // Asked before each connection, and before the token ends.
    token: async () => (await login(user.name)).token,
    ...(transport === '' ? {} : { transports: [transport] }),
    WebSocket: Socket,
    fetch: pluggedFetch
  })
  room = client.join(`chat/${encodeURIComponent(roomId)}`, { last: HISTORY })
  const inbox = client.join(`@user/${encodeURIComponent(user.sub)}`, { last: HISTORY })
  const everyone = client.join('@all', { last: HISTORY })
  for (const { joined } of [room, inbox, everyone]) {
    joined.catch(({ code, message }) => { if (!isOver) notice(`${code}: ${message ?? ''}`) })
  }

  room.on('said', (event) => {
    showMessage('said', event)
    setTyping(event.data.by)
  })
  inbox.on('whispered', (event) => { showMessage('direct', event) })
  everyone.on('announced', (event) => { showMessage('announcement', event) })
  client.on('state', showState)
  // The banner says already that the server cannot be reached.
  client.on('error', ({ code, message }) => { if (code !== 'unreachable') notice(`${code}: ${message ?? ''}`) })
  // More was missed than the server keeps: begin anew with what there is.
  client.on('gap', () => { if (!isOver) start(user) })
  stop = () => {
    isOver = true
    client.close()
  }
  showPeople(room, user)
  showState()
}

function showState () {
  const { state, transport } = client
  const isOpen = state === 'open'
  $('app').dataset.state = $('state').dataset.state = state
  $('state-text').textContent = `${STATES[state] ?? state}${isOpen ? ` by ${TRANSPORTS[transport]}` : ''}`
  $('banner').textContent = BANNERS[state] ?? ''
  $('send').disabled = !isOpen
  $('online').title = isOpen ? '' : 'as it was before the connection was lost'
  if (!isOpen) return
  isBack()
  showOnline()
}
