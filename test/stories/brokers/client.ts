import { setTimeout as sleep } from 'node:timers/promises'
import { ClientRecord, type Position } from './client-record.js'
import {
  openPoll, openStream, openWebSocket, post, type End, type Frame, type Link, type TransportName
} from './links.js'

export interface Place { readonly url: string, readonly isAlive: boolean }

export interface ClientOptions {
  readonly user: string
  readonly token: string
  readonly transport: TransportName
  readonly rooms: readonly string[]
  /** nodes that it may connect to; each link goes to one of them by chance */
  readonly nodes: () => readonly Place[]
  readonly random: () => number
  /** presence frames and snapshots, by room */
  readonly onPresence?: (frame: Frame) => void
}

/** Milliseconds between two tries to connect, at least. */
const AGAIN = 100
/** Longest wait before the next try, whatever the server asks for: a story is short. */
const MOST = 1_000
/** Milliseconds that an answer is waited for. */
const PATIENCE = 4_000

interface JoinData {
  readonly epoch?: string,
  readonly offset?: number,
  readonly resumed?: boolean,
  readonly members?: unknown
}

/**
 * A client made of frames and requests, without any code of the project's client. It stays connected until it is
 * stopped, and remembers positions as the protocol asks; each of its links, polls and POSTs may go to another node.
 */
export class Client {
  readonly user: string
  readonly transport: TransportName
  readonly record: ClientRecord
  readonly #options: ClientOptions
  readonly #answers = new Map<string, (frame: Frame | undefined) => void>()
  #cut: (() => void) | undefined
  #link: Link | undefined
  #isOn = false
  #running: Promise<void> | undefined
  #connection: string | undefined
  #former: string | undefined
  /** connections by which something was sent: only those can be left out of what comes of it */
  readonly #senders = new Set<string>()
  #cursor: string | undefined
  #joins = 0
  /** rooms that it is in with the link that stands */
  readonly #in = new Set<string>()
  /** node that the link goes to */
  node: Place | undefined
  /** why its links ended, newest last */
  readonly ends: End[] = []
  /** refusals of rooms, newest last */
  readonly refusals: string[] = []

  constructor (options: ClientOptions) {
    this.#options = options
    this.user = options.user
    this.transport = options.transport
    this.record = new ClientRecord(options.rooms)
  }

  get isIn (): boolean { return this.#in.size === this.#options.rooms.length }

  get shown (): string {
    const missing = this.#options.rooms.filter((room) => !this.#in.has(room))
    return [
      `${this.user} by ${this.transport} on ${this.node?.url ?? 'no node'}`,
      missing.length === 0 ? 'in all rooms' : `not in ${missing.join(' ')}`,
      `ends ${JSON.stringify(this.ends.slice(-3))}`,
      `refusals ${this.refusals.slice(-3).join(' ') || 'none'}`
    ].join(', ')
  }

  start (): void {
    this.#isOn = true
    this.#running = this.#run()
  }

  async stop (): Promise<void> {
    this.#isOn = false
    this.cut()
    await this.#running
  }

  /** Ends the link without a word; the next one follows. */
  cut (): void { this.#cut?.() }

  async #run (): Promise<void> {
    while (this.#isOn) {
      const node = this.#pick()
      if (node === undefined) {
        await sleep(AGAIN)
        continue
      }
      this.node = node
      const end = this.transport === 'polling' ? await this.#poll() : await this.#connect(node)
      this.#in.clear()
      this.#cut = undefined
      this.#remember()
      // What is sent from now on is the next one's: the server is told of former ones when that begins.
      if (this.transport !== 'polling') this.#connection = undefined
      for (const answer of this.#answers.values()) answer(undefined)
      this.#answers.clear()
      this.ends.push(end)
      if (this.#isOn) await sleep(Math.min(MOST, Math.max(AGAIN, end.retryAfter ?? 0)))
    }
  }

  /** What left out one of the connections that it was is not to come to the one that it is. */
  #remember (): void {
    const id = this.#connection
    if (id === undefined || !this.#senders.has(id)) return
    // Polls go on as the same connection.
    const others = (this.#former?.split(',') ?? []).filter((former) => former !== id)
    this.#former = [id, ...others].slice(0, 32).join()
  }

  #pick (): Place | undefined {
    const alive = this.#options.nodes().filter(({ isAlive }) => isAlive)
    return alive[Math.floor(this.#options.random() * alive.length)]
  }

  async #connect (node: Place): Promise<End> {
    const { token } = this.#options
    const isStream = this.transport === 'sse'
    const asked = this.#asked()
    const open = isStream ? openStream : openWebSocket
    const lastEventId = isStream ? this.#cursor : undefined
    const query = isStream ? `${this.#rooms}${lastEventId === undefined ? this.#positions() : ''}${this.#formerly}` : ''
    const link = open({
      url: node.url,
      token,
      query,
      lastEventId,
      onFrame: (frame, cursor) => {
        if (this.#link !== link) return
        this.#take(frame, asked)
        if (cursor !== undefined) this.#cursor = cursor
      }
    })
    this.#link = link
    this.#cut = () => { link.cut() }
    const end = await link.ended
    this.#link = undefined
    return end
  }

  async #poll (): Promise<End> {
    const given = new AbortController()
    let stop: () => void = () => undefined
    this.#cut = () => {
      given.abort()
      stop()
    }
    while (!given.signal.aborted) {
      const node = this.#pick()
      if (node === undefined) return { code: 'no node' }
      this.node = node
      const asked = this.#asked()
      const place = this.#cursor === undefined ? this.#positions() : `&since=${this.#cursor}&wait=2000`
      const poll = openPoll({
        url: node.url,
        token: this.#options.token,
        query: `${this.#rooms}${place}${this.#formerly}`
      })
      stop = poll.cut
      const answer = await poll.answer
      if ('code' in answer) return answer
      this.#connection = answer.connectionId
      this.#in.clear()
      for (const [room, data] of Object.entries(answer.rooms)) this.#entered(room, data, asked.get(room))
      for (const frame of answer.frames) this.#take(frame, asked)
      this.#cursor = answer.cursor
    }
    return { code: 'given up' }
  }

  #asked (): Map<string, Position> {
    return new Map(this.#options.rooms.flatMap((room) => {
      const position = this.record.position(room)
      return position === undefined ? [] : [[room, position]]
    }))
  }

  get #rooms (): string { return this.#options.rooms.map((room) => `&room=${encodeURIComponent(room)}`).join('') }

  #positions (): string {
    const at = this.#options.rooms.map((room, index) => {
      const position = this.record.position(room)
      return position === undefined ? '' : `&at=${index}:${position.epoch}:${position.offset}`
    })
    return at.join('')
  }

  get #formerly (): string { return this.#former === undefined ? '' : `&connection=${this.#former}` }

  #take (frame: Frame, asked: ReadonlyMap<string, Position>): void {
    const { type, room = '', id, offset, data = {} } = frame
    switch (type) {
      case 'welcome':
        this.#connection = data.connectionId as string
        for (const [name, entered] of Object.entries(data.rooms as Record<string, JoinData>)) {
          this.#entered(name, entered, asked.get(name))
        }
        if (this.transport === 'websocket') for (const name of this.#options.rooms) this.#join(name)
        return
      case 'ack':
      case 'error': {
        const answer = this.#answers.get(id ?? '')
        if (answer !== undefined) {
          this.#answers.delete(id!)
          answer(frame)
        } else if (type === 'error' && room !== '') this.#refused(room, data)
        return
      }
      case 'gap':
        this.record.gap(room, data.epoch as string, data.from as number | undefined, data.to as number)
        return
      case 'ping':
        this.#link?.send({ ...frame, type: 'pong' })
        return
      case 'presence':
        this.#options.onPresence?.(frame)
        return
      case 'tick':
      case 'said':
        if (type === 'said' && data.by === this.user) this.record.foreign.push(`${data.id as string}, its own`)
        this.record.event(room, data.id as string, offset!)
        return
      case 'level':
        this.record.level(room, data.of as string, data.value as number)
    }
  }

  /** A room refused by a stream comes with the next one only. */
  #refused (room: string, { code, retryAfter = 0 }: { code?: unknown, retryAfter?: unknown }): void {
    this.refusals.push(`${room} ${String(code)}`)
    if (this.transport !== 'sse') return
    const link = this.#link
    setTimeout(() => {
      this.#cursor = undefined
      link?.cut()
    }, Math.min(MOST, Math.max(AGAIN, Number(retryAfter)))).unref()
  }

  #join (room: string): void {
    const id = `join-${++this.#joins}`
    const since = this.record.position(room)
    const link = this.#link
    this.#answers.set(id, (answer) => {
      if (answer === undefined) return
      if (answer.type === 'ack') {
        this.#entered(room, answer.data ?? {}, since)
        return
      }
      this.refusals.push(`${room} ${String(answer.data?.code)}`)
      const wait = Math.min(MOST, Math.max(AGAIN, Number(answer.data?.retryAfter ?? 0)))
      setTimeout(() => { if (this.#link === link) this.#join(room) }, wait).unref()
    })
    link?.send({ type: 'join', room, id, data: { since, connection: this.#former } })
  }

  #entered (room: string, { epoch, offset, resumed, members }: JoinData, asked: Position | undefined): void {
    this.#in.add(room)
    if (epoch !== undefined && offset !== undefined) {
      this.record.entered(room, { epoch, offset }, resumed === true, asked)
    }
    if (members !== undefined) {
      this.#options.onPresence?.({
        type: 'members',
        room,
        data: members as Record<string, unknown>
      })
    }
  }

  /** Sends a frame with an id. @returns the ack or the error; `undefined` when nobody knows what came of it */
  async ask (frame: Frame): Promise<Frame | undefined> {
    if (this.transport !== 'websocket') {
      const node = this.#pick()
      if (node === undefined) return undefined
      if (this.transport === 'sse' && this.#connection === undefined) {
        await sleep(AGAIN)
        return undefined
      }
      if (this.#connection !== undefined) this.#senders.add(this.#connection)
      return await post(node.url, this.#options.token, this.#connection, frame, PATIENCE).catch(() => undefined)
    }
    const link = this.#link
    if (link === undefined || !this.isIn) {
      await sleep(AGAIN)
      return undefined
    }
    return await new Promise((resolve) => {
      const late = setTimeout(() => {
        this.#answers.delete(frame.id!)
        resolve(undefined)
      }, PATIENCE)
      this.#answers.set(frame.id!, (answer) => {
        clearTimeout(late)
        resolve(answer)
      })
      if (this.#connection !== undefined) this.#senders.add(this.#connection)
      link.send(frame)
    })
  }
}
