import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSigner } from 'fast-jwt'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { connect, type Client } from '../lib/client/index.js'
import { FaultProxy } from './helpers/fault-proxy.js'
import { fleet, ROOMS, SECRET, type Call, type Order, type Report } from './helpers/node-process.js'
import { missing, startRedis, until, type Server } from './helpers/servers.js'

const NODES = 3
const CLIENTS = 300
const TRANSPORTS = ['websocket', 'websocket', 'sse', 'polling'] as const
/** Milliseconds between two rounds of a node: each publishes one event into every room. */
const EVERY = 250
/** Number of the first event that is published when the fault is over. */
const AFTER = 1_000_000

interface Member { readonly client: Client, readonly transport: string, readonly room: number, readonly heard: string[], /** what its client said of itself */ readonly said: string[], gaps: number }

class Fleet {
  readonly nodes: ChildProcess[] = []
  readonly members: Member[] = []
  readonly ports = new Map<ChildProcess, number>()
  readonly calls: Call[] = []
  /** when the broker was killed, in Unix milliseconds */
  #killed = { from: Infinity, to: 0 }
  proxy!: FaultProxy

  static async start (t: Test, { url }: Server): Promise<Fleet> {
    const fleet = new Fleet()
    await Promise.all(Array.from({ length: NODES }, async () => {
      const child = fork(fileURLToPath(new URL('helpers/node-process.ts', import.meta.url)), [url], { execArgv: ['--import', 'tsx'] })
      t.teardown(() => child.kill('SIGKILL'))
      const { port } = await fleet.#hear(child, 'port')
      fleet.nodes.push(child)
      fleet.ports.set(child, port)
    }))
    fleet.proxy = new FaultProxy([...fleet.ports.values()])
    const port = await fleet.proxy.listen()
    t.teardown(async () => { await fleet.proxy.close() })
    await fleet.#join(t, `http://127.0.0.1:${port}/ws`)
    return fleet
  }

  async #join (t: Test, url: string): Promise<void> {
    const sign = createSigner({ key: SECRET, expiresIn: 3_600_000 })
    await Promise.all(Array.from({ length: CLIENTS }, async (_, index) => {
      const room = index % ROOMS
      const transport = TRANSPORTS[index % TRANSPORTS.length]!
      const client = connect(url, { token: () => sign({ sub: `u${index}` }), WebSocket, transports: [transport] })
      t.teardown(() => { client.close() })
      const member: Member = { client, transport, room, heard: [], said: [], gaps: 0 }
      this.members.push(member)
      client.on('gap', () => { member.gaps++ })
      const note = (what: object): void => { member.said.push(`${Math.round(performance.now())} ${JSON.stringify(what)}`) }
      client.on('state', note)
      client.on('error', note)
      const joined = client.join(fleet.at({ id: String(room) }))
      joined.on('tick', ({ data }) => { member.heard.push(data.id) })
      await joined.joined
    }))
  }

  async #hear<K extends Report['type']> (node: ChildProcess, type: K): Promise<Extract<Report, { type: K }>> {
    for (;;) {
      const [report] = await once(node, 'message') as [Report]
      if (report.type === type) return report as Extract<Report, { type: K }>
    }
  }

  order (order: Order): void { for (const node of this.nodes) node.send(order) }

  /** All nodes publish no more, and what they began is done. */
  async rest (): Promise<void> {
    await Promise.all(this.nodes.map(async (node) => {
      const rests = this.#hear(node, 'rests')
      node.send({ type: 'rest' } satisfies Order)
      this.calls.push(...(await rests).calls)
    }))
  }

  /** What the broker holds of a room. */
  async history (room: number): Promise<readonly string[]> {
    const answer = this.#hear(this.nodes[0]!, 'history')
    this.nodes[0]!.send({ type: 'history', room } satisfies Order)
    return (await answer).ids
  }

  /** A process that ends without a word; the balancer in front notices. */
  async kill (): Promise<void> {
    const [node] = this.nodes.splice(0, 1)
    const exit = once(node!, 'exit')
    node!.kill('SIGKILL')
    await exit
    this.ports.delete(node!)
    this.proxy.target = [...this.ports.values()]
  }

  /** The broker ends without a word, and comes back with what it has written down. */
  async crash (server: Server): Promise<void> {
    const from = Date.now()
    await server.kill()
    this.#killed = { from, to: Date.now() }
    await server.start()
  }

  /** `<room> <id>` of events that were on their way when the broker was killed: nobody can say what became of them, and each was sent again. */
  get uncertain (): ReadonlySet<string> {
    const { from, to } = this.#killed
    return new Set(this.calls.filter((call) => call.from <= to && call.to >= from).map(({ room, id }) => `${room} ${id}`))
  }

  /** Everybody hears again: of what is published now, each has heard something. */
  async isLive (): Promise<void> {
    this.order({ type: 'publish', from: AFTER / 2, every: EVERY })
    const isSince = (id: string): boolean => Number(id.split(':')[1]) >= AFTER / 2
    const deaf = (): Member[] => this.members.filter(({ heard }) => !isSince(heard.at(-1) ?? ':0'))
    await until('every client hears again', () => deaf().length === 0, 60_000).catch((error: Error) => {
      const shown = deaf().slice(0, 5).map(({ transport, room, client, heard, said }) => `${transport} in room ${room} is ${client.state}, heard ${heard.slice(-3).join(' ')}, said ${said.slice(-8).join(' ')}`)
      throw new Error(`${error.message}; at ${Math.round(performance.now())}, of ${deaf().length}:\n${shown.join('\n')}`)
    })
    await this.rest()
  }
}

/** Events that came twice, and those that came before one that their publisher published earlier. */
function faults (heard: readonly string[]): { duplicated: number, reordered: number } {
  const last = new Map<string, number>()
  let reordered = 0
  for (const id of heard) {
    const [publisher, n] = id.split(':') as [string, string]
    if (Number(n) < (last.get(publisher) ?? 0)) reordered++
    last.set(publisher, Number(n))
  }
  return { duplicated: heard.length - new Set(heard).size, reordered }
}

interface Story {
  readonly redis?: readonly string[]
  readonly fault: (fleet: Fleet, server: Server) => Promise<void>
  /** events may be lost, and then everybody is told */
  readonly isLossy?: boolean
}

async function tell (t: Test, { redis = [], fault, isLossy = false }: Story): Promise<void> {
  const server = await startRedis(t, ...redis)
  const run = await Fleet.start(t, server)
  run.order({ type: 'publish', from: 1, every: EVERY })
  await until('all have heard', () => run.members.every(({ heard }) => heard.length > 10), 60_000)
  await fault(run, server)
  await run.rest()
  await run.isLive()
  // What is published now, with everybody back, is heard by all.
  run.order({ type: 'publish', from: AFTER, every: EVERY })
  await sleep(EVERY * 10)
  await run.rest()
  const held: Array<readonly string[]> = []
  for (let room = 0; room < ROOMS; room++) held.push(await run.history(room))
  const missing = ({ room, heard }: Member, from: number): number => {
    const got = new Set(heard)
    return held[room]!.filter((id) => Number(id.split(':')[1]) >= from && !got.has(id)).length
  }
  // A broker that forgets an event forgets its key as well: sent again it is another one.
  const { uncertain } = run
  const counted = ({ room, heard }: Member): readonly string[] => isLossy ? heard.filter((id) => !uncertain.has(`${room} ${id}`)) : heard
  const from = isLossy ? AFTER : 0
  await until('everything has arrived', () => run.members.every((member) => missing(member, from) === 0), 60_000).catch(() => undefined)
  const count = (of: (member: Member) => number): number => run.members.reduce((sum, member) => sum + of(member), 0)
  const delivered = count(({ heard }) => heard.length)
  t.comment(`${delivered} events delivered, ${held[0]!.length} in the history of a room, ${count(({ gaps }) => gaps)} gaps told`)
  for (const member of run.members) {
    const { duplicated, reordered } = faults(counted(member))
    const lost = missing(member, from)
    if (lost + duplicated + reordered > 0) t.comment(`${member.transport} in room ${member.room}: ${lost} lost, ${duplicated} duplicated, ${reordered} reordered; heard last: ${member.heard.slice(-4).join(' ')}; held last: ${held[member.room]!.slice(-4).join(' ')}`)
  }
  t.equal(count((member) => missing(member, from)), 0, 'lost')
  t.equal(count((member) => faults(counted(member)).duplicated), 0, 'duplicated')
  t.equal(count(({ heard }) => faults(heard).reordered), 0, 'reordered')
  t.ok(held.every((ids) => ids.length > 20), 'the broker holds what was published')
  if (isLossy) t.equal(run.members.filter(({ gaps }) => gaps === 0).length, 0, 'nobody is silently behind')
  else t.equal(count(({ gaps }) => gaps), 0, 'no gap')
}

t.test('three nodes, 300 clients, 100 rooms, publishers on every node: nothing is lost, doubled or reordered', { skip: missing('redis-server') }, async (t) => {
  await t.test('when one node is killed, and its clients resume elsewhere', async (t) => {
    await tell(t, {
      fault: async (fleet) => {
        await fleet.kill()
        await sleep(1_000)
      }
    })
  })

  await t.test('when the broker is restarted with its data', async (t) => {
    await tell(t, {
      redis: ['--appendonly', 'yes', '--appendfsync', 'always'],
      fault: async (_, server) => {
        await server.kill()
        await sleep(500)
        await server.start()
      }
    })
  })

  await t.test('when the broker stands still for ten seconds', async (t) => {
    await tell(t, {
      fault: async (_, server) => {
        await server.pause()
        await sleep(10_000)
        server.resume()
      }
    })
  })

  await t.test('when its connections are cut fifty times', async (t) => {
    await tell(t, {
      fault: async (_, { url }) => {
        const admin = new Redis(url)
        for (let n = 0; n < 50; n++) {
          await admin.call('CLIENT', 'KILL', 'TYPE', n % 2 === 0 ? 'normal' : 'pubsub', 'SKIPME', 'yes')
          await sleep(50)
        }
        admin.disconnect()
      }
    })
  })

  await t.test('but for what a broker forgot that came back with older data: of that everybody is told', async (t) => {
    await tell(t, {
      isLossy: true,
      fault: async (fleet, server) => {
        const admin = new Redis(server.url)
        await admin.save()
        admin.disconnect()
        const had = fleet.members.map(({ heard }) => heard.length)
        await until('events behind the snapshot', () => fleet.members.every(({ heard }, index) => heard.length > had[index]! + 5), 60_000)
        await fleet.crash(server)
      }
    })
  })

  await t.test('but for what a broker forgot that came back without data: of that everybody is told', async (t) => {
    await tell(t, {
      isLossy: true,
      fault: async (fleet, server) => { await fleet.crash(server) }
    })
  })
})
