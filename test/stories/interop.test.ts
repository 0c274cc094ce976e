import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import realtime, { defineRoom } from '../../lib/index.js'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'

const FRAMES = 100_000
const PYTHON = '/usr/bin/python3'
const READER = join(import.meta.dirname, 'interop', 'reader.py')

const frames = defineRoom('frames', { events: { e: Type.Object({ t: Type.String() }), end: Type.Object({}) } })

function available (command: string, args: string[]): boolean {
  return existsSync(command) && spawnSync(command, args).status === 0
}

/** Under CI what is missing is a failure; on a user's machine it is said. */
function lacks (test: Test, what: string): boolean {
  if (process.env.CI === 'true') test.fail(`${what} is missing`)
  else test.comment(`skipped: ${what} is not installed`)
  return true
}

async function start (
  test: Test,
  compression: boolean
): Promise<{ app: FastifyInstance, port: number, token: string }> {
  const app = Fastify()
  test.teardown(async () => { await app.close() })
  await app.register(realtime, {
    jwt: { secret: 'interop' },
    // A ping is answered behind all that was written before it, which takes a busy machine more than ten seconds.
    heartbeat: 300_000,
    limits: { event: 262_144, outbox: 2 ** 30 },
    ...(compression ? { compression: {} } : {})
  })
  app.room(frames, { history: false })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    app,
    port: (app.server.address() as AddressInfo).port,
    token: app.jwt.sign({ sub: 'reader' }, { expiresIn: 600 })
  }
}

const TEXT = 'The quick brown fox, Größe, 日本語, \u{1F680} and "quotes" \\ \n'

/** Mostly small, some large, all of it reproducible. */
function content (i: number): string {
  const size = i % 1_000 === 999
    ? 70_000
    : i % 100 === 99 ? 16_000 + (i % 977) : i % 10 === 9 ? 700 + (i % 131) : i % 127
  return TEXT.repeat(Math.ceil(size / TEXT.length)).slice(0, size)
}

/** Broadcasts all frames in bursts; the digest is taken from what the members get, through a member of its own. */
async function broadcast (app: FastifyInstance): Promise<void> {
  for (let i = 0; i < FRAMES; i++) {
    void app.rooms.broadcast(frames, 'e', { t: content(i) })
    if (i % 37 === 36) await turn()
  }
  await app.rooms.broadcast(frames, 'end', {})
}

function wsReader (
  url: string,
  token: string,
  perMessageDeflate: boolean,
  stallEvery: number
): { open: Promise<void>, result: Promise<string> } {
  const ws = new WebSocket(url, { headers: { authorization: `Bearer ${token}` }, perMessageDeflate })
  const digest = createHash('sha256')
  let count = 0
  const result = new Promise<string>((resolve, reject) => {
    ws.on('message', (data) => {
      const text = String(data)
      if (text.startsWith('{"type":"end"')) {
        ws.close(1000)
        return
      }
      if (!text.startsWith('{"type":"e"')) return
      digest.update(text)
      if (++count % stallEvery === 0) {
        ws.pause()
        setTimeout(() => { ws.resume() }, 20)
      }
    })
    ws.on('close', (code) => {
      if (code === 1000) resolve(`${count} ${digest.digest('hex')}`)
      else reject(new Error(`closed with ${code} after ${count} frames`))
    })
    ws.on('error', reject)
  })
  return { open: new Promise((resolve) => { ws.once('message', () => { resolve() }) }), result }
}

function pythonReader (
  test: Test,
  url: string,
  token: string,
  compression: boolean,
  pause: number
): { open: Promise<void>, result: Promise<string> } {
  const child = spawn(PYTHON, [READER, url, token, compression ? '1' : '0', String(pause)], {
    stdio: ['ignore', 'pipe', 'pipe']
  })
  test.teardown(() => { child.kill('SIGKILL') })
  let out = ''
  let errors = ''
  let opened: () => void
  const open = new Promise<void>((resolve) => { opened = resolve })
  child.stdout.on('data', (chunk) => {
    out += String(chunk)
    if (out.startsWith('open')) opened()
  })
  child.stderr.on('data', (chunk) => { errors += String(chunk) })
  const result = new Promise<string>((resolve, reject) => {
    child.on('exit', (code) => {
      if (code === 0) resolve(out.trim().split('\n').at(-1)!)
      else reject(new Error(`python exited with ${code}: ${errors}`))
    })
  })
  return { open, result }
}

for (const compression of [false, true]) {
  t.test(
    `python3-websockets and ws each receive ${FRAMES} mixed frames byte for byte, also when they read slowly, ${compression ? 'compressed' : 'plain'}`,
    {
      timeout: 110_000
    },
    async (t) => {
      const hasPython = available(PYTHON, ['-c', 'import websockets'])
      if (!hasPython) lacks(t, 'python3-websockets')
      const { app, port, token } = await start(t, compression)
      const url = `ws://127.0.0.1:${port}/ws/frames`
      const readers = [
        wsReader(url, token, compression, Number.POSITIVE_INFINITY),
        wsReader(url, token, compression, 5_000)
      ]
      if (hasPython) {
        readers.push(pythonReader(t, url, token, compression, 0), pythonReader(t, url, token, compression, 0.05))
      }
      await Promise.all(readers.map(async ({ open }) => { await open }))
      await broadcast(app)
      const [first, ...others] = await Promise.all(readers.map(async ({ result }) => await result))
      t.match(first, new RegExp(`^${FRAMES} [0-9a-f]{64}$`))
      for (const other of others) t.equal(other, first)
    }
  )
}

/** FNV-1a over UTF-16 units: what a page and a test can both compute while frames come in. */
const FNV =
  '(hash, text) => { for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193); return hash }'

for (const compression of [false, true]) {
  t.test(`Chromium receives ${FRAMES} mixed frames unchanged, ${compression ? 'compressed' : 'plain'}`, {
    timeout: 110_000,
    skip: skipWithoutChromium()
  }, async (t) => {
    const { app, port, token } = await start(t, compression)
    const browser = await launchWindowless(t)
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${port}/ws/health`)
    await page.evaluate(`void (window.reading = new Promise((resolve, reject) => {
      const add = ${FNV}
      let hash = 0x811c9dc5, count = 0
      const ws = new WebSocket('ws://' + location.host + '/ws/frames', ['realtime.v1', 'bearer.${token}'])
      window.opened = new Promise((opened) => {
        ws.onmessage = ({ data }) => {
          if (data.startsWith('{"type":"welcome"')) opened(ws.extensions)
          else if (data.startsWith('{"type":"end"')) resolve(count + ' ' + hash)
          else if (data.startsWith('{"type":"e"')) { count++; hash = add(hash, data) }
        }
      })
      ws.onclose = ({ code }) => { reject(new Error('closed with ' + code)) }
    }))`)
    t.equal((await page.evaluate<string>('window.opened')).includes('permessage-deflate'), compression)
    const ws = new WebSocket(`ws://127.0.0.1:${port}/ws/frames`, { headers: { authorization: `Bearer ${token}` } })
    t.teardown(() => { ws.terminate() })
    // eslint-disable-next-line no-new-func
    const add = new Function(`return ${FNV}`)() as (hash: number, text: string) => number
    let [hash, count] = [0x811c9dc5, 0]
    const expected = new Promise<string>((resolve, reject) => {
      ws.on('close', (code, reason) => { reject(new Error(`closed with ${code} ${String(reason)} after ${count} frames`)) })
      ws.on('message', (data) => {
        const text = String(data)
        if (text.startsWith('{"type":"end"')) resolve(`${count} ${hash}`)
        if (!text.startsWith('{"type":"e"')) return
        count++
        hash = add(hash, text)
      })
    })
    await new Promise((resolve) => { ws.once('message', resolve) })
    const [, result] = await Promise.all([broadcast(app), expected])
    t.match(result, new RegExp(`^${FRAMES} `))
    t.equal(await page.evaluate('window.reading'), result)
  })
}

t.test('tshark finds no malformed frame in what the server sends', { timeout: 60_000 }, async (t) => {
  const tshark = '/usr/bin/tshark'
  if (!available(tshark, ['-v'])) return lacks(t, 'tshark')
  const { app, port, token } = await start(t, false)
  const folder = mkdtempSync(join(tmpdir(), 'realtime-'))
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }) })
  const file = join(folder, 'capture.pcap')
  const capture = spawn(tshark, ['-i', 'lo', '-f', `tcp port ${port}`, '-w', file, '-F', 'pcap', '-B', '64'], {
    stdio: ['ignore', 'ignore', 'pipe']
  })
  t.teardown(() => { capture.kill('SIGKILL') })
  await captureStarted(capture)
  const reader = wsReader(`ws://127.0.0.1:${port}/ws/frames`, token, false, Number.POSITIVE_INFINITY)
  await reader.open
  for (let i = 0; i < 3_000; i++) {
    void app.rooms.broadcast(frames, 'e', { t: content(i) })
    if (i % 37 === 36) await turn()
  }
  await app.rooms.ping({ user: 'reader' })
  await app.rooms.broadcast(frames, 'end', {})
  await reader.result
  const decode = (filter: string): string[] => spawnSync(
    tshark,
    ['-r', file, '-d', `tcp.port==${port},http`, '-2', '-Y', filter, '-T', 'fields', '-e', 'websocket.opcode'],
    { encoding: 'utf8', maxBuffer: 2 ** 28 }
  )
    .stdout.split('\n').filter((line) => line !== '')
  // The capture is written behind the traffic: it is complete when the last frame, the client's close, is in it.
  const deadline = Date.now() + 20_000
  while (!decode('websocket.opcode == 8').some((line) => line.includes('8'))) {
    if (Date.now() > deadline) throw new Error('the capture never showed the close frame')
    await new Promise((resolve) => { setTimeout(resolve, 250) })
  }
  const opcodes = decode('websocket').flatMap((line) => line.split(','))
  t.ok(opcodes.filter((opcode) => opcode === '1').length >= 3_000, `text frames seen: ${opcodes.length}`)
  t.same([...new Set(opcodes)].sort(), ['1', '10', '8', '9'])
  t.same(decode('_ws.malformed || (websocket && websocket.mask == 1 && tcp.srcport == ' + port + ')'), [])
})

async function captureStarted (capture: ChildProcess): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let said = ''
    capture.stderr!.on('data', (chunk) => {
      said += String(chunk)
      if (/Capturing on|File:/.test(said)) resolve()
    })
    capture.once('exit', (code) => { reject(new Error(`tshark exited with ${code}: ${said}`)) })
  })
  // "Capturing" is said before the kernel's filter stands; the first frames may be missed, the handshake must not be.
  await new Promise((resolve) => { setTimeout(resolve, 1_000) })
}
