import type { Subject } from './subject.js'
import { until } from './until.js'

/** Tries what nodes tell each other. */
export function controlContract ({ name, nodes, pair, t }: Subject): void {
  t.test(`${name}: control messages reach all other nodes and do not come back`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.control === undefined || b.adapter.control === undefined) return t.pass('no control')
    await a.adapter.control.send({ type: 'revoke', user: 'ann' })
    await b.adapter.control.send({ type: 'acked', ack: 'x', connection: 'c1' })
    await until('both heard', () => a.host.controls.length === 1 && b.host.controls.length === 1)
    t.same(b.host.controls, [{ message: { type: 'revoke', user: 'ann' }, from: 'a' }])
    t.same(a.host.controls, [{ message: { type: 'acked', ack: 'x', connection: 'c1' }, from: 'b' }])
  })
}
