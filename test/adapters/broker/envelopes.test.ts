import t from 'tap'
import type { ControlMessage } from '../../../lib/adapters/adapter.js'
import { checkControl } from '../../../lib/adapters/broker/decode.js'
import { Envelopes, mustArrive } from '../../../lib/adapters/broker/envelopes.js'

const revoke: ControlMessage = { type: 'revoke', user: 'ann' }
const acked: ControlMessage = { type: 'acked', ack: 'x', connection: 'c' }

t.test('a node opens what others have sealed, and nothing of its own', async (t) => {
  const [a, b] = [new Envelopes('aaaaaaaa', () => 0), new Envelopes('bbbbbbbb', () => 0)]
  const { text } = a.seal(revoke, 'node-a')
  t.same(b.open(text), { message: revoke, from: 'node-a' })
  t.equal(a.open(text), undefined)
})

t.test('what must arrive is opened once, and the rest as often as it comes', async (t) => {
  const [a, b] = [new Envelopes('aa-aaaaa', () => 0), new Envelopes('bbbbbbbb', () => 0)]
  for (const [message, count] of [[revoke, 1], [acked, 3]] as const) {
    t.equal(mustArrive(message), count === 1)
    const { text } = a.seal(message, 'node-a')
    t.equal([1, 2, 3].filter(() => b.open(text) !== undefined).length, count, message.type)
  }
})

t.test('two revocations of a node that does not number its messages are two', async (t) => {
  const b = new Envelopes('bbbbbbbb', () => 0)
  const text = `aa-aaaaa node-a\n${JSON.stringify(revoke)}`
  t.same([1, 2].map(() => b.open(text)?.message), [revoke, revoke])
})

t.test('the end of a revocation is the same moment on nodes whose clocks differ', async (t) => {
  const HOUR = 3_600_000
  const [behind, ahead] = [new Envelopes('aaaaaaaa', () => HOUR), new Envelopes('bbbbbbbb', () => -HOUR)]
  const until = 1_700_000_000_000
  const { text } = behind.seal({ ...revoke, until }, 'a')
  t.same(ahead.open(text)?.message, { ...revoke, until: until + 2 * HOUR })
})

t.test('a revocation for ever is heard whichever clock is off, and one until a moment that is long over', async (t) => {
  const [first, last] = [0, 8.64e15]
  const expel: ControlMessage = { type: 'expel', user: 'ann', room: 'chat/1', until: last }
  for (const [sealed, opened] of [[2_000, 0], [-2_000, 0], [0, 2_000], [0, -2_000]] as const) {
    const [a, b] = [new Envelopes('aaaaaaaa', () => sealed), new Envelopes('bbbbbbbb', () => opened)]
    for (const message of [{ ...revoke, until: last }, { ...revoke, until: first }, expel]) {
      const heard = b.open(a.seal(message, 'node-a').text)!.message
      t.match(checkControl(heard), { type: message.type, user: 'ann' }, `${sealed} ${opened}`)
    }
  }
})
