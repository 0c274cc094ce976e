import http, { type IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import { sseParser } from '../../helpers/sse-parser.js'

export interface Frame {
  readonly type: string
  readonly room?: string
  readonly id?: string
  readonly offset?: number
  readonly data?: Record<string, unknown>
}

export type TransportName = 'websocket' | 'sse' | 'polling'
export const TRANSPORTS: readonly TransportName[] = ['websocket', 'sse', 'polling']

/** Why a link is no more: a status or close code, and what the server said. */
export interface End { readonly code: number | string, readonly word?: string, readonly retryAfter?: number }

export interface Link {
  /** of a WebSocket only */
  send (frame: object): void
  /** Ends it without a word. */
  cut (): void
  readonly ended: Promise<End>
}

export interface LinkOptions {
  readonly url: string
  readonly token: string
  /** rooms and positions, for the URL */
  readonly query: string
  readonly lastEventId?: string | undefined
  /** @param cursor after this frame, of a stream */
  readonly onFrame: (frame: Frame, cursor: string | undefined) => void
}

async function textOf (answer: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of answer) text += String(chunk)
  return text
}

function endOf (status: number, text: string): End {
  try {
    const { code, retryAfter } = JSON.parse(text) as { code?: string, retryAfter?: number }
    return {
      code: status,
      ...(code === undefined ? {} : { word: code }),
      ...(retryAfter === undefined ? {} : { retryAfter })
    }
  } catch {
    return { code: status }
  }
}

export function openWebSocket ({ url, token, query, onFrame }: LinkOptions): Link {
  const socket = new WebSocket(
    `${url.replace('http', 'ws')}/ws?${query}`,
    { headers: { authorization: `Bearer ${token}` }, perMessageDeflate: false }
  )
  socket.on('message', (text) => { onFrame(JSON.parse(String(text)) as Frame, undefined) })
  const ended = new Promise<End>((resolve) => {
    socket.on('unexpected-response', (_request, answer: IncomingMessage) => {
      textOf(answer).then(
        (text) => { resolve(endOf(answer.statusCode!, text)) },
        (error: Error) => { resolve({ code: error.message }) }
      )
    })
    socket.on('error', (error) => { resolve({ code: error.message }) })
    socket.on('close', (code, reason) => { resolve({ code, word: String(reason) }) })
  })
  return {
    send: (frame) => { if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame)) },
    cut: () => { socket.terminate() },
    ended
  }
}

export function openStream ({ url, token, query, lastEventId, onFrame }: LinkOptions): Link {
  const request = http.get(`${url}/ws?transport=sse&${query}`, {
    agent: false,
    headers: {
      accept: 'text/event-stream',
      authorization: `Bearer ${token}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId })
    }
  })
  const ended = new Promise<End>((resolve) => {
    request.on('error', (error) => { resolve({ code: error.message }) })
    request.on('response', (answer) => {
      answer.on('error', () => undefined)
      if (answer.statusCode !== 200) {
        textOf(answer).then(
          (text) => { resolve(endOf(answer.statusCode!, text)) },
          (error: Error) => { resolve({ code: error.message }) }
        )
        return
      }
      answer.setEncoding('utf8')
      answer.on('data', sseParser((data, { id }) => { onFrame(JSON.parse(data) as Frame, id) }))
      answer.on('close', () => { resolve({ code: 'end' }) })
    })
  })
  return { send: () => undefined, cut: () => { request.destroy() }, ended }
}

export interface PollAnswer {
  readonly connectionId: string
  readonly cursor: string
  readonly rooms: Readonly<Record<string, Record<string, unknown>>>
  readonly frames: readonly Frame[]
}

/** One poll; `cut` gives it up. */
export function openPoll (
  { url, token, query }: Omit<LinkOptions, 'onFrame'>
): { readonly answer: Promise<PollAnswer | End>, cut (): void } {
  const request = http.get(
    `${url}/ws?transport=polling&${query}`,
    { agent: false, headers: { authorization: `Bearer ${token}` } }
  )
  const answer = new Promise<PollAnswer | End>((resolve) => {
    request.on('error', (error) => { resolve({ code: error.message }) })
    request.on('response', (response) => {
      textOf(response).then((text) => {
        resolve(response.statusCode === 200 ? JSON.parse(text) as PollAnswer : endOf(response.statusCode!, text))
      }).catch((error: Error) => { resolve({ code: error.message }) })
    })
  })
  return { answer, cut: () => { request.destroy() } }
}

/** A frame by POST. @returns the ack or the error; rejects when there was no answer */
export async function post (
  url: string,
  token: string,
  connection: string | undefined,
  frame: Frame,
  timeout: number
): Promise<Frame> {
  return await new Promise((resolve, reject) => {
    const body = JSON.stringify(frame)
    const request = http.request(`${url}/ws`, {
      method: 'POST',
      agent: false,
      timeout,
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        ...(connection === undefined ? {} : { 'x-connection-id': connection })
      }
    }, (answer) => {
      textOf(answer).then((text) => {
        const data = JSON.parse(text) as Frame & Record<string, unknown>
        resolve(answer.statusCode === 200 ? data : { type: 'error', data })
      }).catch(reject)
    })
    request.on('timeout', () => { request.destroy(new Error('no answer')) })
    request.on('error', reject)
    request.end(body)
  })
}
