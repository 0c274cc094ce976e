// A stand-in for the client library: served only as long as the package has no `fastify-realtime/client`.
class Emitter {
  #listeners = new Map()
  on (name, listener) {
    const set = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, set.add(listener))
    return () => { set.delete(listener) }
  }

  fire (name, value) { for (const listener of this.#listeners.get(name) ?? []) listener(value) }
}

class Room extends Emitter {
  members = new Map()
  position
  constructor (client, name, last) {
    super()
    Object.assign(this, { client, name, last })
    this.joined = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }))
  }

  async send (type, data) { return await this.client.call({ type, room: this.name, data }) }

  enter (data) {
    if (data.epoch !== undefined) this.position = { epoch: data.epoch, offset: data.offset }
    if (data.resumed === false) this.client.fire('gap', { room: this.name })
    if (data.members?.list !== undefined) {
      this.members = new Map(data.members.list.map((member) => [member.userId, member]))
      this.fire('presence', { joined: data.members.list, left: [] })
    }
    this.resolve(data)
  }

  take ({ type, data, offset, timestamp }) {
    if (offset !== undefined) {
      if (this.position !== undefined && offset <= this.position.offset) return
      this.position = { ...this.position, offset }
    }
    if (type === 'presence') {
      for (const member of data.joined) this.members.set(member.userId, member)
      for (const member of data.left) this.members.delete(member.userId)
      this.fire('presence', data)
    } else this.fire(type, { type, data, offset, timestamp })
  }
}

class Client extends Emitter {
  state = 'connecting'
  #rooms = new Map()
  #waiting = new Map()
  #ids = 0
  #own = `${crypto.randomUUID()}-`
  #socket
  #token
  #cursor
  #abort
  constructor (url, options) {
    super()
    Object.assign(this, { url, options })
    // After the page has joined its rooms.
    queueMicrotask(() => { this.#dial() })
  }

  async #dial () {
    const [transport = 'websocket'] = this.options.transports ?? []
    this.#abort = new AbortController()
    try {
      this.#token = await this.options.token()
      if (this.state === 'closed') return
      if (transport === 'websocket') await this.#webSocket()
      else await (transport === 'sse' ? this.#stream() : this.#polls())
    } catch { /* comes back below */ }
    this.#abort.abort()
    if (this.state === 'closed') return
    this.#set('reconnecting')
    setTimeout(() => { this.#dial() }, 500 + Math.random() * 1_000)
  }

  async #webSocket () {
    const socket = this.#socket = new this.options.WebSocket(new URL(this.url, location.href), ['realtime.v1', `bearer.${this.#token}`])
    socket.onmessage = ({ data }) => { this.#take(JSON.parse(data)) }
    await new Promise((resolve) => { socket.onclose = resolve })
  }

  async #fetch (url, init = {}) {
    const answer = await this.options.fetch(url, {
      ...init,
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json', ...(this.id === undefined ? {} : { 'x-connection-id': this.id }) },
      signal: this.#abort.signal
    })
    if (!answer.ok && init.method === undefined) throw new Error(String(answer.status))
    return answer
  }

  #url (transport) {
    const query = new URLSearchParams({ transport, ...(this.#cursor === undefined ? { last: '50' } : { since: this.#cursor }) })
    for (const name of this.#rooms.keys()) if (!name.startsWith('@')) query.append('room', name)
    return `${this.url}?${query}`
  }

  async #stream () {
    const { body } = await this.#fetch(this.#url('sse'))
    let text = ''
    const reader = body.pipeThrough(new TextDecoderStream()).getReader()
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      const blocks = (text + value).split('\n\n')
      text = blocks.pop()
      for (const block of blocks) {
        const line = (name) => block.split('\n').find((each) => each.startsWith(`${name}: `))?.slice(name.length + 2)
        this.#cursor = line('id') ?? this.#cursor
        if (line('data') !== undefined) this.#take(JSON.parse(line('data')))
      }
    }
  }

  async #polls () {
    for (let isFirst = true; ; isFirst = false) {
      const { connectionId, cursor, rooms, frames } = await (await this.#fetch(this.#url('polling') + (isFirst ? '&wait=0' : ''))).json()
      this.#cursor = cursor
      if (isFirst) this.#take({ type: 'welcome', data: { connectionId, rooms } })
      for (const frame of frames) this.#take(frame)
    }
  }

  #set (state) {
    this.state = state
    this.fire('state', { state })
  }

  #take (frame) {
    if (frame.type === 'ping') return this.#send({ type: 'pong', id: frame.id })
    if (frame.type === 'welcome') {
      const { connectionId, rooms } = frame.data
      this.id = connectionId
      for (const room of this.#rooms.values()) {
        // Rooms of the URL are entered; a WebSocket of the bare URL joins each.
        if (this.options.transports?.[0] === 'sse' || this.options.transports?.[0] === 'polling') room.enter(rooms[room.name] ?? {})
        else this.#enter(room)
      }
      this.#set('open')
      for (const waiting of this.#waiting.values()) if (waiting.frame !== undefined) this.#send(waiting.frame)
      return
    }
    const waiting = this.#waiting.get(frame.id)
    if (waiting !== undefined && (frame.type === 'ack' || frame.type === 'error')) {
      this.#waiting.delete(frame.id)
      if (frame.type === 'ack') waiting.resolve(frame.data)
      else waiting.reject(Object.assign(new Error(frame.data.message), frame.data))
      return
    }
    this.#rooms.get(frame.room)?.take(frame)
  }

  #enter (room) {
    const id = `j${++this.#ids}`
    this.#waiting.set(id, { resolve: (data) => { room.enter(data) }, reject: (error) => { room.reject(error) } })
    this.#send({ type: 'join', room: room.name, id, data: room.position === undefined ? { last: room.last } : { since: room.position } })
  }

  #send (frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) return this.#socket.send(JSON.stringify(frame))
    this.#fetch(this.url, { method: 'POST', body: JSON.stringify(frame) }).then(async (answer) => {
      const body = await answer.json()
      if (frame.type !== 'pong') this.#take(answer.ok ? body : { type: 'error', id: frame.id, data: body })
    }).catch(() => undefined)
  }

  async call (frame) {
    const id = this.#own + ++this.#ids
    return await new Promise((resolve, reject) => {
      this.#waiting.set(id, { frame: { ...frame, id }, resolve, reject })
      if (this.state === 'open') this.#send({ ...frame, id })
    })
  }

  join ({ name }, { last } = {}) {
    const room = new Room(this, name, last)
    this.#rooms.set(name, room)
    return room
  }

  close () {
    this.#set('closed')
    this.#socket?.close()
    this.#abort?.abort()
  }
}

export const connect = (url, options) => new Client(url, options)
