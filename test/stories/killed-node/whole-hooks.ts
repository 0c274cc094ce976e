import type { Test } from 'tap'
import type { Broker } from '../../helpers/brokers.js'
import { until } from '../../helpers/client.js'
import { Calls, GRACE, settled } from '../../helpers/hook-calls.js'
import { connect, start, type Running } from '../../helpers/net.js'
import { SECRET } from '../../helpers/node-process.js'
import type { Server } from '../../helpers/servers.js'
import { startVictim } from '../../helpers/victim.js'
import { GONE, LEASE } from './times.js'

/** The hooks of users and rooms that were only on a node that is killed. */
export async function wholeHooks (t: Test, { make }: Broker, server: Server): Promise<void> {
  const calls = new Calls()
  const one = async (): Promise<Running> => await start(t, {
    ...calls.options,
    presence: { grace: GRACE, lease: LEASE },
    jwt: { secret: SECRET },
    adapter: make(server.port)
  })
  const [a, b] = [await one(), await one()]
  const victim = await startVictim(t, server.url, { lease: LEASE, onCall: (call) => { calls.all.push(call) } })
  const token = (user: string): string => a.token(user, {}, 600)
  await connect(victim, { token: token('there'), rooms: ['hall/there'] })
  await connect(victim, { token: token('both'), rooms: ['hall/both'] })
  await connect(b, { token: token('both'), rooms: ['hall/both'] })
  await calls.of('online there', 1)
  await calls.of('online both', 1)
  await calls.of('occupied hall/there there', 1)
  await calls.of('occupied hall/both both', 1)
  await settled()
  const before = calls.all.splice(0)
  t.equal(before.length, 4, before.join(', '))
  await victim.kill()
  const began = performance.now()
  await until('both are told', () => calls.all.length >= 2, GONE)
  t.comment(`told ${Math.round((performance.now() - began) / 1_000)} s after the kill`)
  await settled()
  t.same([...calls.all].sort(), ['offline there', 'vacated hall/there there'])
}
