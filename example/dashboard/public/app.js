const $ = (id) => document.getElementById(id)
const machines = new Map()

function machineOf (name) {
  if (machines.has(name)) return machines.get(name)
  const item = document.createElement('li')
  item.className = 'card'
  const title = Object.assign(document.createElement('h2'), { textContent: name })
  const meter = Object.assign(document.createElement('meter'), { max: 100, high: 90, optimum: 0 })
  meter.setAttribute('aria-label', `Load of ${name}`)
  const text = document.createElement('p')
  item.append(title, meter, text)
  $('machines').append(item)
  machines.set(name, { item, meter, text })
  return machines.get(name)
}

// The cookie of the page is its credential. The browser reconnects by itself and says which event it had last.
const stream = new EventSource('/ws/plants/1?last=20')

function say (state, text) {
  $('state').dataset.state = state
  $('state-text').textContent = text
}
stream.addEventListener('open', () => { say('open', 'Live') })
stream.addEventListener('error', () => {
  if (stream.readyState === EventSource.CLOSED) say('closed', 'Refused: reload the page')
  else say('connecting', 'Reconnecting')
})

stream.addEventListener('load', (event) => {
  const { machine, percent } = JSON.parse(event.data).data
  const { item, meter, text } = machineOf(machine)
  meter.value = percent
  text.textContent = `${percent} %`
  item.classList.toggle('high', percent >= 90)
})

stream.addEventListener('alarm', (event) => {
  const { data, timestamp } = JSON.parse(event.data)
  const item = document.createElement('li')
  item.textContent = `${new Date(timestamp).toLocaleTimeString()} ${data.machine}: ${data.text}`
  $('alarms').prepend(item)
  $('alarms').children[20]?.remove()
  $('none').hidden = true
})
