import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Broker } from '../../helpers/brokers.js'
import { connect, start, TRANSPORTS, type ConnectOptions, type Refused, type Running } from '../../helpers/net.js'
import { declarePlane, declareTales, SECRET, single } from '../../helpers/node-process.js'
import type { Server } from '../../helpers/servers.js'
import { startVictim } from '../../helpers/victim.js'

/** Milliseconds that a slot outlives the node that took or renewed it last. */
const LEASE = 60_000
/** Milliseconds between two tries. */
const EVERY = 250
/** Milliseconds that a try and its answer may take on a machine that is busy. */
const MARGIN = 3_000
/** Milliseconds by which two clocks that are read one after the other may differ. */
const ROUNDING = 50

/** The word with which it is refused; `undefined` when it is in. */
async function refusal (node: Running, options: ConnectOptions): Promise<string | undefined> {
  return await connect(node, options).then(() => undefined, (error: Refused) => error.body.code ?? error.message)
}

/** The last slot of a user and of a room, held by a node that is killed. */
export async function lastSlots (t: Test, { make }: Broker, { url, port }: Server): Promise<void> {
  const victim = await startVictim(t, url, { connections: 1 })
  const other = await start(t, {
    jwt: { secret: SECRET },
    adapter: make(port),
    limits: { user: { connections: 1, then: 'reject' } },
    declare: (app) => {
      app.room(single, { capacity: 1 })
      declarePlane(app)
      declareTales(app)
    }
  })
  const token = (user: string): string => other.token(user, {}, 600)
  const taken = performance.now()
  // Each holds the last slot of its user and of its room.
  for (const transport of TRANSPORTS) {
    await connect(victim, { transport, rooms: [`single/${transport}`], token: token(`holder-${transport}`) })
  }
  const tries = TRANSPORTS.flatMap((transport) => [
    {
      what: `the user of a connection by ${transport}`,
      word: 'user_limit',
      options: { token: token(`holder-${transport}`) },
      third: { token: token(`holder-${transport}`) }
    },
    {
      what: `the room of a connection by ${transport}`,
      word: 'room_full',
      options: { token: token(`next-${transport}`), rooms: [`single/${transport}`] },
      third: { token: token(`third-${transport}`), rooms: [`single/${transport}`] }
    }
  ])
  for (const { what, word, options } of tries) {
    t.equal(await refusal(other, options), word, `${what}: its last slot is held`)
  }
  await victim.kill()
  const killed = performance.now()
  await Promise.all(tries.map(async ({ what, word, options, third }) => {
    const words = new Set<string>()
    const end = killed + LEASE + MARGIN
    let said: string | undefined
    do {
      if (words.size > 0) await sleep(EVERY)
      said = await refusal(other, options)
      if (said !== undefined) words.add(said)
    } while (said !== undefined && performance.now() < end)
    const admitted = performance.now()
    t.same([...words], [word], `${what}: refused for one reason only`)
    t.equal(said, undefined, `${what}: let in within the lease of the dead node`)
    t.ok(
      admitted >= taken + LEASE - ROUNDING,
      `${what}: refused until the lease ends, ${Math.round(admitted - killed)} ms after the kill`
    )
    t.equal(await refusal(other, third), word, `${what}: that was the last slot again`)
  }))
  const isLimit = (line: { code?: unknown }): boolean => line.code === 'user_limit' || line.code === 'room_full'
  t.same(other.loud.filter((line) => !isLimit(line)), [], 'nothing is loud but that limits were reached, once a minute')
}
