import t from 'tap'
import {
  connect, declareChat, eventually, statsOf, TRANSPORTS,
  type ConnectOptions, type NetPeer, type Refused, type Running, type StartOptions
} from '../helpers/net.js'
import { PAIRS } from '../helpers/node-pairs.js'

/** Of two nodes on which a user has so many connections at once, and a newer one replaces the oldest. */
function replacing (connections: number, capacity?: number): StartOptions {
  return {
    jwt: { secret: 'the same on all nodes' },
    limits: { user: { connections, then: 'replace' } },
    declare: (app) => { declareChat(app, capacity === undefined ? {} : { capacity }) }
  }
}

async function total (nodes: readonly Running[]): Promise<number> {
  const counts = await Promise.all(nodes.map(async ({ app }) => (await statsOf(app)).connections.total))
  return counts.reduce((sum, count) => sum + count, 0)
}

/** The word with which it is refused; `undefined` when it is in. */
async function refusal (node: Running, options: ConnectOptions): Promise<string | undefined> {
  return await connect(node, options).then(() => undefined, (error: Refused) => error.body.code ?? error.message)
}

for (const { name, skip, nodes: start } of PAIRS.filter(({ name }) => name !== 'memory')) {
  for (const transport of TRANSPORTS) {
    t.test(`${name}: the oldest connection of a user, a ${transport} connection of another node, makes room for a newer one, whatever that speaks`, {
      skip
    }, async (t) => {
      const [far, near] = await start(t, replacing(1))
      for (const newer of TRANSPORTS) {
        const token = near.token(`ada-${newer}`)
        const old = await connect(far, { transport, rooms: ['chat/1'], token })
        const next = await connect(near, { transport: newer, rooms: ['chat/1'], token })
        await old.ended
        await next.fence()
        next.cut()
      }
      t.same([(await statsOf(far.app)).closes, (await statsOf(near.app)).refusals], [{ replaced: 3 }, {}])
    })
  }

  t.test(`${name}: a connection of another node that no longer reads makes room before it has gone`, { skip }, async (t) => {
    const [far, near] = await start(t, replacing(1))
    const token = near.token('ada')
    const silent = await connect(far, { token })
    silent.stall()
    const next = await connect(near, { token })
    await next.fence()
    t.equal((await statsOf(far.app)).connections.slots, 1, 'its socket is still there')
    silent.cut()
  })

  t.test(`${name}: of connections on both nodes the oldest gives way, wherever it and the newer one are`, {
    skip
  }, async (t) => {
    const nodes = await start(t, replacing(3))
    const token = nodes[0].token('ada')
    const peers: NetPeer[] = []
    // The clocks of both are the same here; a millisecond tells which is older.
    const open = async (at: 0 | 1): Promise<void> => {
      peers.push(await connect(nodes[at], { token }))
      await new Promise((resolve) => { setTimeout(resolve, 5) })
    }
    const places = [0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1, 0] as const
    for (const [index, at] of places.entries()) {
      await open(at)
      if (index < 3) continue
      await peers[index - 3]!.ended
      t.equal(await total(nodes), 3)
      for (const peer of peers.slice(-3)) await peer.fence()
    }
    t.same([(await statsOf(nodes[0].app)).refusals, (await statsOf(nodes[1].app)).refusals], [{}, {}])
  })

  t.test(`${name}: a newcomer that is refused for want of a place ends no connection of another node; one that takes the older one's place does`, {
    skip
  }, async (t) => {
    const [far, near] = await start(t, replacing(1, 1))
    await connect(far, { rooms: ['chat/full'], token: far.token('bob') })
    const ada = await connect(far, { rooms: ['chat/1'], token: far.token('ada') })
    t.equal(await refusal(near, { rooms: ['chat/full'], token: near.token('ada') }), 'room_full')
    await ada.fence()
    const next = await connect(near, { rooms: ['chat/1'], token: near.token('ada') })
    await ada.ended
    await next.fence()
    t.equal(await refusal(far, { rooms: ['chat/1'], token: far.token('eve') }), 'room_full', 'the place is taken')
  })

  t.test(`${name}: of as many newcomers at once as a user may have, each replaces one, and none is refused`, {
    skip
  }, async (t) => {
    const nodes = await start(t, replacing(6))
    const token = nodes[0].token('ada')
    const all = async (nodeOf: (index: number) => 0 | 1): Promise<NetPeer[]> => await Promise.all(
      Array.from({ length: 6 }, async (_, index) => await connect(nodes[nodeOf(index)]!, { token }))
    )
    const far = await all(() => 1)
    const near = await all(() => 0)
    for (const peer of far) await peer.ended
    const mixed = await all((index) => index % 2 === 0 ? 0 : 1)
    for (const peer of near) await peer.ended
    for (const peer of mixed) await peer.fence()
    const stats = await Promise.all(nodes.map(async ({ app }) => await statsOf(app)))
    t.same(stats.map(({ closes, refusals }) => [closes, refusals]), [[{ replaced: 6 }, {}], [{ replaced: 6 }, {}]])
  })

  t.test(`${name}: of many more newcomers at once none is refused, one is left, and each other one is told why`, { skip }, async (t) => {
    const nodes = await start(t, replacing(1))
    const token = nodes[0].token('ada')
    const peers = await Promise.all(Array.from({ length: 8 }, async (_, index) => {
      return await connect(nodes[index % 2]!, { token }).catch((error: Refused) => error.body?.code ?? error.message)
    }))
    await eventually('one is left', async () => await total(nodes), (count) => count === 1)
    let open = 0
    for (const peer of peers) {
      if (typeof peer === 'string') {
        t.match(peer, /4509 replaced/, 'none is refused')
        continue
      }
      const ended = peer.ended.then(() => false)
      if (await Promise.race([ended, peer.sync().then(() => true, async () => await ended)])) open++
      else await t.rejects(peer.next('nothing', undefined, 10), /4509 replaced/)
    }
    t.equal(open, 1)
    const last = await connect(nodes[0], { token })
    await last.fence()
    await eventually('the last is left', async () => await total(nodes), (count) => count === 1)
  })
}
