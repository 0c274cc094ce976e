import { connect, createServer, type AddressInfo } from 'node:net'
import type { Teardown } from './servers.js'

export interface Way {
  readonly port: number
  rate: number
  /** Bytes of one connection that have waited in the buffers at most. */
  readonly held: number
}

/**
 * A way to the server whose rate may change, in bytes a second; what is too fast waits in its buffers.
 *
 * @param buffers bytes of each connection that it takes before it reads no more
 */
export async function narrowWay (t: Teardown, target: number, buffers: number, rate = Infinity): Promise<Way> {
  const state = { port: 0, rate, held: 0 }
  const server = createServer((down) => {
    const up = connect(target, '127.0.0.1')
    let waiting = Buffer.alloc(0)
    let last = performance.now()
    let left = 0
    const pass = (): void => {
      const now = performance.now()
      left = Math.min(state.rate / 10, left + (now - last) * state.rate / 1_000)
      last = now
      const size = Math.min(waiting.length, Math.floor(left))
      if (size === 0) return
      down.write(waiting.subarray(0, size))
      waiting = waiting.subarray(size)
      left -= size
      if (waiting.length < buffers) up.resume()
    }
    const timer = setInterval(pass, 20)
    up.on('data', (bytes) => {
      waiting = Buffer.concat([waiting, bytes])
      if (state.rate === Infinity) left = Infinity
      pass()
      state.held = Math.max(state.held, waiting.length)
      if (waiting.length >= buffers) up.pause()
    })
    down.pipe(up)
    const end = (): void => {
      clearInterval(timer)
      down.destroy()
      up.destroy()
    }
    for (const socket of [down, up]) socket.on('error', end).on('close', end)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  state.port = (server.address() as AddressInfo).port
  return state
}
