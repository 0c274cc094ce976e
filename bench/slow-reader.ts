/**
 * What a reader that stops costs the others: 1 publisher at 2 000 events a second, 99 readers at full speed, once
 * without and once with one more reader that never reads. Prints the latencies of the 99, what became of the slow one,
 * and the ledger.
 *
 * `npm run bench:slow-reader -- [seconds] [rounds]`
 */
import { fork } from 'node:child_process'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import { WebSocket } from 'ws'
import realtime, { defineRoom } from 'fastify-realtime'
import { moment } from './shared/moment.js'

const READERS = 99
const PER_SECOND = 2_000
const TICK = 5
const stream = defineRoom('stream', { events: { e: Type.Object({ at: Type.Number(), fill: Type.String() }) } })

interface Result {
  readonly count: number
  readonly ordered: boolean
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** Milliseconds of the clock that the processes share. */
const now = (): number => moment() / 1_000

async function read (url: string, token: string): Promise<void> {
  const latencies: number[] = []
  let ordered = true
  await Promise.all(Array.from({ length: READERS }, async () => await new Promise<void>((resolve) => {
    const ws = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } })
    let offset = 0
    ws.on('message', (data) => {
      const frame = JSON.parse(String(data)) as { type: string, offset: number, data: { at: number } }
      if (frame.type === 'welcome') resolve()
      if (frame.type !== 'e') return
      ordered &&= frame.offset === offset + 1
      offset = frame.offset
      latencies.push(now() - frame.data.at)
    })
  })))
  process.send!('open')
  process.once('message', () => {
    latencies.sort((a, b) => a - b)
    const at = (part: number): number => Math.round(latencies[Math.floor((latencies.length - 1) * part)]! * 100) / 100
    const result: Result = { count: latencies.length, ordered, p50: at(0.5), p99: at(0.99), max: at(1) }
    process.send!(result, () => { process.exit() })
  })
}

async function run (seconds: number, isSlow: boolean): Promise<{ result: Result, slow: string }> {
  const app = Fastify()
  await app.register(realtime, {
    jwt: { secret: 'bench' },
    limits: { user: { connections: 200, then: 'reject' } },
    history: { bytes: 2 ** 28 }
  })
  app.room(stream, { history: { size: 200_000, ttl: 600_000 } })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const url = `ws://127.0.0.1:${(app.server.address() as AddressInfo).port}/ws/stream`
  const token = app.jwt.sign({ sub: 'reader' }, { expiresIn: 600 })
  const child = fork(fileURLToPath(import.meta.url), ['read', url, token])
  await new Promise((resolve) => { child.once('message', resolve) })
  let slow = 'none'
  let got = 0
  let epoch = ''
  let ws: WebSocket | undefined
  if (isSlow) {
    ws = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } })
    ws.on('message', (data) => {
      const frame = JSON.parse(String(data)) as {
        type: string
        offset: number
        data: { rooms?: Record<string, { epoch: string }> }
      }
      if (frame.type === 'e') got = frame.offset
      if (frame.type === 'welcome') {
        epoch = frame.data.rooms!.stream!.epoch
        ws!.pause()
      }
    })
    await new Promise((resolve) => { ws!.once('message', resolve) })
  }
  const total = seconds * PER_SECOND
  const fill = 'x'.repeat(500)
  const start = performance.now()
  for (let sent = 0; sent < total;) {
    const due = Math.min(total, Math.floor((performance.now() - start) * PER_SECOND / 1_000))
    for (; sent < due; sent++) void app.rooms.broadcast(stream, 'e', { at: now(), fill })
    await new Promise((resolve) => { setTimeout(resolve, TICK) })
  }
  await new Promise((resolve) => { setTimeout(resolve, 500) })
  const answered = new Promise<Result>((resolve) => {
    child.once('message', (message) => { resolve(message as Result) })
  })
  child.send('report')
  const result = await answered
  if (ws !== undefined) {
    const closed = new Promise<number>((resolve) => { ws.once('close', resolve) })
    ws.resume()
    const code = await closed
    const resumed = new WebSocket(url.replace(/\/stream$/, ''), { headers: { authorization: `Bearer ${token}` } })
    let replayed = 0
    const ack = await new Promise<boolean>((resolve) => {
      resumed.on('message', (data) => {
        const frame = JSON.parse(String(data)) as { type: string, data: { resumed?: boolean } }
        if (frame.type === 'welcome') {
          resumed.send(JSON.stringify({
            type: 'join',
            room: 'stream',
            id: 'j',
            data: { since: { epoch, offset: got } }
          }))
        }
        if (frame.type === 'ack') resolve(frame.data.resumed === true)
        if (frame.type === 'e') replayed++
      })
    })
    const end = Date.now() + 20_000
    const isShort = (): boolean => replayed < total - got && Date.now() < end
    while (isShort()) await new Promise((resolve) => { setTimeout(resolve, 20) })
    slow = `read ${got}, closed with ${code}, resumed: ${String(ack)}, replayed ${replayed} of ${total - got}`
    resumed.terminate()
  }
  const stats = await app.rooms.stats() as { ledger: Record<string, number>, outbox: { bytes: number } }
  const { meant, delivered, resumed, conflated, dropped, gone, queued } =
    stats.ledger as Record<'meant' | 'delivered' | 'resumed' | 'conflated' | 'dropped' | 'gone' | 'queued', number>
  const sum = delivered + resumed + conflated + dropped + gone + queued
  slow += `; outboxes ${stats.outbox.bytes} B; ledger ${meant} meant = ${sum}`
  await app.close()
  return { result, slow }
}

if (process.argv[2] === 'read') await read(process.argv[3]!, process.argv[4]!)
else {
  const seconds = Number(process.argv[2] ?? 10)
  const rounds = Number(process.argv[3] ?? 3)
  const ratios: number[] = []
  for (let round = 1; round <= rounds; round++) {
    const without = await run(seconds, false)
    const beside = await run(seconds, true)
    ratios.push(beside.result.p99 / without.result.p99)
    const line =
      ({ count, ordered, p50, p99, max }: Result): string =>
        `${count} events, in order: ${String(ordered)}, p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`
    console.log(
      `round ${round}\n  without: ${line(without.result)}\n  beside a reader that stops: ${line(beside.result)}\n  p99 ratio ${ratios.at(-1)!.toFixed(2)}\n  the slow one: ${beside.slow}`
    )
  }
  ratios.sort((a, b) => a - b)
  console.log(
    `p99 ratio, median of ${rounds}: ${ratios[Math.floor(rounds / 2)]!.toFixed(2)} (min ${ratios[0]!.toFixed(2)}, max ${ratios.at(-1)!.toFixed(2)})`
  )
}
