const STREAM = '/ws/chat/lobby'
const EVENTS = ['said', 'whispered', 'announced']
/** milliseconds */
const LEAST = 500
const MOST = 20_000

/** Shows what a stream brings; `data` is the whole frame. */
function listen (stream, section) {
  const list = section.querySelector('ol')
  const add = (content) => {
    list.append(Object.assign(document.createElement('li'), { textContent: content }))
    list.scrollTop = list.scrollHeight
  }
  for (const event of EVENTS) {
    stream.addEventListener(event, ({ data }) => {
      const { data: { name, text } } = JSON.parse(data)
      add(`${event === 'said' ? '' : `(${event}) `}${name}: ${text}`)
    })
  }
  // Everything that is not an event of a room comes under this one name, errors included: `error` is EventSource's own.
  stream.addEventListener('realtime', ({ data }) => {
    const { type, data: said } = JSON.parse(data)
    if (type === 'error') add(`refused: ${said.code}`)
    if (type === 'gap') add('(some events are lost)')
  })
  stream.addEventListener('open', () => { show(section, 'open', 'Connected') })
}

function show (section, state, text) {
  const line = section.querySelector('.state')
  line.dataset.state = state
  line.lastElementChild.textContent = text
}

// By cookie: the browser does everything, except after a refusal (401, 429, 503), where it stops for good.
function byCookie () {
  const section = document.getElementById('cookie')
  const stream = new EventSource(`${STREAM}?last=10`)
  listen(stream, section)
  stream.addEventListener('error', () => {
    if (stream.readyState === EventSource.CLOSED) show(section, 'closed', 'Refused; reload the page')
    else show(section, 'reconnecting', 'Reconnecting')
  })
}

// By ticket: it is spent with the first connection, so the browser's own retry would be refused.
function byTicket () {
  const section = document.getElementById('ticket')
  let since
  let attempt = 0

  async function open () {
    const answer = await fetch('/ws/ticket', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })
    if (!answer.ok) {
      const isFinal = answer.status === 401 || answer.status === 403
      throw Object.assign(new Error((await answer.json()).code), { isFinal })
    }
    const { ticket } = await answer.json()
    const stream = new EventSource(`${STREAM}?${new URLSearchParams({ ticket, ...(since === undefined ? { last: '10' } : { since }) })}`)
    listen(stream, section)
    for (const event of [...EVENTS, 'realtime']) stream.addEventListener(event, ({ lastEventId }) => { if (lastEventId !== '') since = lastEventId })
    stream.addEventListener('open', () => { attempt = 0 })
    stream.addEventListener('error', () => {
      stream.close()
      again()
    })
  }

  function again () {
    show(section, 'reconnecting', 'Reconnecting')
    const delay = LEAST + Math.random() * Math.min(MOST, LEAST * 2 ** attempt++)
    setTimeout(() => { open().catch(failed) }, delay)
  }

  function failed (error) {
    if (error.isFinal) show(section, 'closed', `Refused: ${error.message}`)
    else again()
  }

  open().catch(failed)
}

// Without a session there is nobody to read for.
const verdict = await fetch(`${STREAM}?verdict=1`)
if (verdict.ok) {
  byCookie()
  byTicket()
} else {
  document.getElementById('error').textContent = 'Nobody is logged in here: enter the chat first, then reload this page.'
  for (const id of ['cookie', 'ticket']) show(document.getElementById(id), 'closed', 'Not connected')
}
