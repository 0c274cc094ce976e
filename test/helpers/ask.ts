import http from 'node:http'
import { TRANSPORTS, type Running, type TransportName } from './net.js'

export type Way = TransportName | 'uplink' | 'verdict'
export const WAYS: readonly Way[] = [...TRANSPORTS, 'uplink', 'verdict']

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Record<string, unknown>
  readonly text: string
}

/** One request of a kind, with the path exactly as given: no client library makes it better on the way. */
export async function ask (
  server: Running,
  way: Way,
  { path = '/ws/chat/1', method, headers = {}, token }: {
    path?: string
    method?: string
    headers?: Record<string, string>
    token?: string | undefined
  } = {}
): Promise<Answer> {
  const own: Record<string, string> = {
    connection: 'close',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` })
  }
  if (way === 'websocket') {
    Object.assign(own, {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ=='
    })
  }
  if (way === 'sse') own.accept = 'text/event-stream'
  if (way === 'uplink') own['content-type'] = 'application/json'
  const url = way === 'verdict' ? `${path}${path.includes('?') ? '&' : '?'}verdict=1` : path
  return await new Promise((resolve, reject) => {
    const request = http.request({
      host: '127.0.0.1',
      port: server.port,
      path: url,
      method: method ?? (way === 'uplink' ? 'POST' : 'GET'),
      agent: false,
      headers: { ...own, ...headers }
    })
    request.on('response', (response) => {
      let text = ''
      if (response.headers['content-type']?.startsWith('text/event-stream') === true) {
        request.destroy()
        resolve({ status: 200, headers: response.headers, body: {}, text })
        return
      }
      response.on('data', (chunk) => { text += String(chunk) })
      response.on('end', () => {
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          body: text.startsWith('{') ? JSON.parse(text) as Answer['body'] : {},
          text
        })
      })
    })
    request.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve({ status: 101, headers: response.headers, body: {}, text: '' })
    })
    request.on('error', reject)
    request.setTimeout(10_000, () => { request.destroy(new Error(`no answer to ${way} ${url}`)) })
    request.end(way === 'uplink' ? '{"type":"type","data":{}}' : undefined)
  })
}
