import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import jwt from 'fast-jwt'
import { WebSocket } from 'ws'
import { connect, type Client } from '../../lib/client/index.js'
import { FaultProxy } from '../helpers/fault-proxy.js'
import { randomBy } from '../helpers/random.js'
import type { Server } from '../helpers/servers.js'
import { TYPESCRIPT } from '../helpers/typescript.js'
import { harmLink } from './harm.js'
import { SECRET, stories, wholeOf } from './stream-rooms.js'
import type { Said, Write } from './stream-node.js'

export interface StreamChaosOptions {
  readonly tokens: number
  /** Tokens a second. */
  readonly rate: number
  readonly readers: number
  readonly seed: number
  /** Redis, which keeps its data over a restart, or NATS. */
  readonly broker: Server
  readonly log: (line: string) => void
}

export interface StreamResult {
  /** Readers that have each text whole and equal to what was written. */
  readonly equal: number
  readonly different: readonly string[]
  /** Readers that were told that the text of the node that was killed is lost. */
  readonly toldOfLoss: number
  /** Milliseconds between the kill and that, of the reader in the middle and of the last one. */
  readonly lossAfter: readonly [median: number, longest: number]
  /** Bytes of frames that one was sent who joined at three quarters, for each byte of the text as it was then. */
  readonly lateRatio: number
  /** Steps that the adapter was asked for, for each window in which there was something to publish. */
  readonly stepsPerFlush: number
  readonly faults: Readonly<Record<string, number>>
}

const TRANSPORTS = ['websocket', 'sse', 'polling'] as const
const FLUSH = 25
/** Milliseconds that all may take to have everything when the faults are over. */
const SETTLE = 60_000
/** Bytes a second of the slow readers. */
const SLOW = 2_000

/** A node in a process of its own. */
class Node {
  readonly #child: ChildProcess
  port = 0
  readonly #written = new Map<string, (said: Extract<Said, { is: 'written' }>) => void>()

  private constructor (child: ChildProcess) {
    this.#child = child
    child.on('message', (said: Said) => { if (said.is === 'written') this.#written.get(said.key)?.(said) })
  }

  static async start (url: string): Promise<Node> {
    const file = fileURLToPath(new URL('stream-node.ts', import.meta.url))
    const child = fork(file, [url], { execArgv: [...TYPESCRIPT] })
    const node = new Node(child)
    const [said] = await once(child, 'message') as [Said]
    if (said.is === 'ready') node.port = said.port
    return node
  }

  async write (asked: Write): Promise<Extract<Said, { is: 'written' }>> {
    return await new Promise((resolve) => {
      this.#written.set(asked.key, resolve)
      this.#child.send(asked)
    })
  }

  async kill (): Promise<void> {
    const gone = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await gone
  }
}

const sign = jwt.createSigner({ key: SECRET, expiresIn: 3_600_000 })

interface Reader {
  readonly client: Client
  /** What it has of each text, and every end that it was told of. */
  readonly texts: Map<string, { text: string, end: unknown, ends: unknown[] }>
  /** When it was told that a text is lost, by `performance.now()`. */
  toldAt?: number
}

/**
 * Readers on all transports of texts that another node writes, while links are cut, stalled and killed, a node of
 * readers and the broker (with its data) are restarted, and the node of one writer is killed.
 */
export async function runStreams (options: StreamChaosOptions): Promise<StreamResult> {
  const { tokens, rate, readers: size, seed, broker, log } = options
  const draw = randomBy(seed)
  const faults = { cuts: 0, stalls: 0, dead: 0, nodes: 0, brokers: 0 }
  const [writing, doomed] = [await Node.start(broker.url), await Node.start(broker.url)]
  const reading = [await Node.start(broker.url), await Node.start(broker.url)]
  const proxies = await Promise.all([Infinity, SLOW].map(async (bytes) => {
    const proxy = new FaultProxy(reading.map(({ port }) => port))
    proxy.rate = bytes
    return { proxy, port: await proxy.listen() }
  }))
  const readers = Array.from({ length: size }, (_, index): Reader => {
    // One of each transport reads slowly.
    const { port } = proxies[index < TRANSPORTS.length ? 1 : 0]!
    const client = connect(`http://127.0.0.1:${port}/ws`, {
      token: () => sign({ sub: `reader ${index}` }),
      transports: [TRANSPORTS[index % TRANSPORTS.length]!],
      timeout: 5_000,
      WebSocket
    })
    const texts: Reader['texts'] = new Map()
    const reader: Reader = { client, texts }
    client.join(stories.at({ id: '1' })).on('told', ({ data, end }) => {
      const ends = texts.get(data.id)?.ends ?? []
      if (end !== undefined) ends.push(end)
      if (end === 'lost') reader.toldAt ??= performance.now()
      texts.set(data.id, { text: data.text, end, ends })
    })
    return reader
  })
  await sleep(2_000)
  log(`${size} readers on ${reading.length} nodes, one writes ${tokens} tokens at ${rate}/s, another one will be killed`)

  const seconds = tokens / rate
  const whole = writing.write({ key: 'whole', tokens, rate })
  void doomed.write({ key: 'lost', tokens, rate })
  const over = new AbortController()
  let killedAt = 0
  const harm = async (): Promise<void> => {
    while (!over.signal.aborted) {
      await sleep(draw() * 400)
      harmLink(proxies[0]!.proxy, draw, draw(), faults)
    }
  }
  const killings = async (): Promise<number> => {
    await sleep(seconds * 250)
    await doomed.kill()
    killedAt = performance.now()
    log('the node of a writer was killed')
    await sleep(seconds * 125)
    faults.nodes++
    const other = reading.shift()!
    await other.kill()
    reading.push(await Node.start(broker.url))
    for (const { proxy } of proxies) proxy.target = reading.map(({ port }) => port)
    log('a node of readers was killed, and another one has taken its place')
    await sleep(seconds * 125)
    faults.brokers++
    const isKilled = draw() < 0.5
    await (isKilled ? broker.kill() : broker.stop())
    await broker.start()
    log(`the broker was ${isKilled ? 'killed' : 'stopped'} and started with its data`)
    await sleep(seconds * 250)
    return await late(reading[0]!.port)
  }
  const harmed = harm()
  const lateRatio = await killings()
  log(`one who joins late is sent ${lateRatio.toFixed(3)} bytes for each byte of the texts`)
  const { steps, milliseconds, error } = await whole
  over.abort()
  await harmed
  log(`the faults are over: ${JSON.stringify(faults)}; the writer took ${steps} steps in ${Math.round(milliseconds)} ms`)
  const expected = wholeOf('whole', tokens)
  const isWhole = ({ texts }: Reader): boolean => {
    const text = texts.get('whole')
    return text?.text === expected && text.end === 'done'
  }
  const isTold = ({ texts }: Reader): boolean => texts.get('lost')?.end === 'lost'
  const deadline = Date.now() + SETTLE
  while (!readers.every((reader) => isWhole(reader) && isTold(reader)) && Date.now() < deadline) await sleep(50)

  // The key of the one that was lost is free for another node.
  const again = await writing.write({ key: 'lost', tokens: 50, rate: 500 })
  const anew = wholeOf('lost', 50)
  const isAnew = ({ texts }: Reader): boolean => texts.get('lost')?.text === anew && texts.get('lost')?.end === 'done'
  const last = Date.now() + SETTLE
  while (!readers.every(isAnew) && Date.now() < last) await sleep(50)

  const different = readers.flatMap((reader, index) => {
    if (isWhole(reader) && isAnew(reader)) return []
    const { text = '', end } = reader.texts.get('whole') ?? {}
    const from = [...text].findIndex((char, at) => char !== [...expected][at])
    return `reader ${index} (${TRANSPORTS[index % TRANSPORTS.length]!}): ${text.length} of ${expected.length}, ${String(end)}, other from ${from}`
  })
  const after = readers.flatMap(({ toldAt }) => toldAt === undefined ? [] : [Math.round(toldAt - killedAt)])
    .sort((a, b) => a - b)
  const result: StreamResult = {
    equal: size - different.length,
    different: [...different, ...[error, again.error].flatMap((each) => each ?? [])],
    toldOfLoss: after.length,
    lossAfter: [after[after.length >> 1] ?? Infinity, after.at(-1) ?? Infinity],
    lateRatio,
    stepsPerFlush: steps / (milliseconds / FLUSH),
    faults
  }
  for (const { client } of readers) client.close()
  for (const { proxy } of proxies) await proxy.close()
  for (const node of [writing, ...reading]) await node.kill()
  return result
}

/** Joins, and counts the bytes of the frames that bring the texts, for each byte of the texts. */
async function late (port: number): Promise<number> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws/stories/1`, ['realtime.v1', `bearer.${sign({ sub: 'late' })}`])
  const seen = new Set<string>()
  let bytes = 0
  let texts = 0
  socket.on('message', (data) => {
    const text = String(data)
    const frame = JSON.parse(text) as { type: string, from?: number, data: { id: string, text: string } }
    if (frame.type !== 'told' || seen.has(frame.data.id)) return
    seen.add(frame.data.id)
    bytes += Buffer.byteLength(text)
    texts += Buffer.byteLength(frame.data.text)
    if (frame.from !== 0) bytes = Infinity
  })
  await once(socket, 'open')
  await sleep(1_000)
  socket.close()
  return bytes / texts
}
