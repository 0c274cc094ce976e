import { connect } from '/client.js'

/** Milliseconds that each poll takes on the slow link. */
const SLOW = 1_500

const $ = (id) => document.getElementById(id)
const url = new URL(location.href)

// The conversation is in the URL, so that a reload and a second tab show the same one.
if (!url.searchParams.has('chat')) {
  url.searchParams.set('chat', crypto.randomUUID())
  window.history.replaceState(null, '', url)
}
const chat = url.searchParams.get('chat')
const transport = url.searchParams.get('transport') ?? ''
$('again').href = `/?chat=${chat}`
$('transport').value = transport
$('transport').addEventListener('change', () => {
  url.searchParams.set('transport', $('transport').value)
  location.assign(url)
})

async function slowFetch (...args) {
  await new Promise((resolve) => { setTimeout(resolve, SLOW) })
  return await fetch(...args)
}

const client = connect('/ws', {
  async token () {
    const answer = await fetch('/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ chat })
    })
    if (!answer.ok) throw new Error(`/login answers ${answer.status}`)   // then the client tries again
    return (await answer.json()).token
  },
  ...(transport === '' ? {} : { transports: [transport === 'slow' ? 'polling' : transport] }),
  ...(transport === 'slow' ? { fetch: slowFetch } : {})
})
client.on('state', ({ state }) => {
  $('state').dataset.state = state
  $('state-text').textContent = { connecting: 'Connecting', open: client.transport, reconnecting: 'Reconnecting' }[state] ?? 'Closed'
})
// With `retryIn` the client tries again by itself, and the state tells it.
client.on('error', ({ message, retryIn }) => { if (retryIn === undefined) $('error').textContent = message })

const room = client.join(`assistant/${encodeURIComponent(chat)}`, { last: 100 })

/** The item of an answer, and behind which question it stands. */
function itemOf (id) {
  let item = document.getElementById(`answer-${id}`)
  if (item === null) {
    item = Object.assign(document.createElement('li'), { id: `answer-${id}`, className: 'answer' })
    item.dataset.end = ''
    const question = document.getElementById(`question-${id}`)
    if (question === null) $('messages').append(item)
    else question.after(item)
  }
  return item
}

/** Changes the list, and shows its end where that was shown before. */
function change (how) {
  const list = $('messages')
  const wasAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40
  how()
  if (wasAtEnd) list.scrollTop = list.scrollHeight
}

const grows = new Map()
function showStop () { $('stop').hidden = ![...grows.values()].includes(true) }

room.on('asked', ({ data }) => {
  change(() => {
    const item = Object.assign(document.createElement('li'), {
      id: `question-${data.answer}`, className: 'question', textContent: data.question
    })
    const answer = document.getElementById(`answer-${data.answer}`)
    if (answer === null) $('messages').append(item)
    else answer.before(item)
  })
  // Who is here hears of an answer with its first part, and a slow model may be stopped before that.
  if (!grows.has(data.answer)) grows.set(data.answer, true)
  showStop()
})

/** A word for how an answer ended, for the style sheet. */
function wordOf (end = '') {
  if (typeof end === 'string') return end
  return end.code === 'cancelled' ? 'stopped' : 'failed'
}

room.on('answer', ({ data, end }) => {
  change(() => {
    const item = itemOf(data.id)
    item.textContent = data.text
    item.dataset.end = wordOf(end)
    item.dataset.why = end?.message ?? ''
  })
  grows.set(data.id, end === undefined)
  showStop()
})

$('ask').addEventListener('submit', async (event) => {
  event.preventDefault()
  const text = $('text').value
  $('text').value = ''
  $('error').textContent = ''
  try {
    await room.send('ask', { question: text })
  } catch (error) {
    $('error').textContent = error.message
    $('text').value = `${text} ${$('text').value}`.trim()   // a refused question is not lost
  }
})

$('stop').addEventListener('click', () => {
  for (const [answer, isGrowing] of grows) {
    if (!isGrowing) continue
    room.send('stop', { answer }).catch((error) => { $('error').textContent = error.message })
  }
})
