import type { Msg } from '@nats-io/transport-node'
import t from 'tap'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { node, reliable, said, dataOf } from '../../../lib/adapters/contract/host.js'
import { missing, startNatsCluster, until } from '../../helpers/servers.js'
import { Declined } from '../../../lib/adapters/broker/standing.js'
import { away, type NatsLink } from '../../../lib/adapters/nats/link.js'
import { removeValue, type Removed } from '../../../lib/adapters/nats/removal.js'

const VALUE = { subject: 'latest.room.key', forwarded: 'value.room.key', text: 'removal', patience: 1_000, known: 9 }

/** A server whose messages get numbers from 10 on, and that forwards what it accepts. */
class FakeServer {
  readonly accepted: Array<[text: string, last: unknown]> = []
  /** Values that are agreed on between the comparison with the next removal and its place in the order. */
  between: string[] = []
  /** Whether another value is there already when one is put back. */
  isNewer = false
  /** What becomes of a value that is put back. */
  fault: Error | undefined
  subscriptions = 0
  #seq = 9
  #heard: (message: Msg) => void = () => undefined

  readonly link = {
    listen: (subject: string, callback: (message: Msg) => void) => {
      t.equal(subject, VALUE.forwarded)
      this.#heard = callback
      this.subscriptions++
      return { unsubscribe: () => { this.subscriptions-- } }
    },
    flush: async () => undefined,
    insist: async (_asking: string, ask: () => Promise<unknown>) => await ask(),
    publish: async (_subject: string, text: string, { expect }: { expect: { lastSubjectSequence: number } }) => {
      if (text !== VALUE.text && this.fault !== undefined) throw this.fault
      if (text !== VALUE.text && this.isNewer) throw Object.assign(new Error('wrong last sequence'), { code: 10071 })
      this.accepted.push([text, expect.lastSubjectSequence])
      for (const value of this.between.splice(0)) this.#forward(value)
      return { seq: this.#forward(text), duplicate: false }
    }
  }

  #forward (text: string): number {
    const headers = new Map([['Nats-Sequence', String(this.#seq + 1)], ['Nats-Last-Sequence', String(this.#seq)]])
    this.#seq++
    this.#heard({ headers, string: () => text } as unknown as Msg)
    return this.#seq
  }

  async remove (): Promise<Removed> { return await removeValue(this.link as unknown as NatsLink, VALUE) }
}

t.test('a removal that meets its value removes it', async (t) => {
  const server = new FakeServer()
  t.same(await server.remove(), { seq: 10, isVain: false })
  t.same(server.accepted, [['removal', 9]])
  t.equal(server.subscriptions, 0)
})

t.test('a removal that meets a value set meanwhile puts the newest back, if no newer one is there', async (t) => {
  const server = new FakeServer()
  server.between = ['first', 'second']
  t.same(await server.remove(), { seq: 12, isVain: true })
  t.same(server.accepted, [['removal', 9], ['second', 12]])
  const other = new FakeServer()
  other.between = ['first']
  other.isNewer = true
  t.same(await other.remove(), { seq: 11, isVain: true })
  t.same(other.accepted, [['removal', 9]])
  t.same([server.subscriptions, other.subscriptions], [0, 0])
})

t.test('a removal is not told as refused where the value that it has met cannot be put back', async (t) => {
  for (const fault of [away(), new Declined(new Error('insufficient resources')), new Error('no such stream')]) {
    const server = new FakeServer()
    server.between = ['first']
    server.fault = fault
    await t.rejects(server.remove(), { code: 'unavailable', outcome: 'unknown' })
    t.same([server.accepted, server.subscriptions], [[['removal', 9]], 0])
  }
})

t.test(
  'nats: in a cluster a value that is removed as it was set is gone, and one that was set since stays',
  { skip: missing('nats-server'), timeout: 120_000 },
  async (t) => {
    const url = (await startNatsCluster(t)).map((server) => server.url)
    const { adapter, host } = await node(t, nats({ url, replicas: 3 }), 'a')
    const set = async (text: string, removes?: number): Promise<unknown> => await adapter.publish('chat/1', said(text, {
      delivery: 'latest',
      key: 'red',
      ...(removes === undefined ? {} : { removes: { version: removes } })
    }), reliable)
    await until('the room is followed', async () => { await adapter.subscribe('chat/1', reliable); return true })
    await until('a value is set', async () => await set('first'))
    const [first] = await adapter.latest!('chat/1', reliable)
    await set('second')
    await set('', first!.event!.version)
    const [second, ...rest] = await adapter.latest!('chat/1', reliable)
    t.same([dataOf(second!), rest], [{ text: 'second' }, []])
    await set('', second!.event!.version)
    t.equal((await adapter.latest!('chat/1', reliable))[0]!.event!.isRemoval, true)
    t.equal(host.events.get('chat/1')!.at(-1)!.event!.isRemoval, true)
  }
)
