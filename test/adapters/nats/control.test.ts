import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { ControlMessage } from '../../../lib/adapters/adapter.js'
import { Envelopes } from '../../../lib/adapters/broker/envelopes.js'
import { Unread } from '../../../lib/adapters/broker/unread.js'
import type { NatsClock } from '../../../lib/adapters/nats/clock.js'
import { NatsControl } from '../../../lib/adapters/nats/control.js'
import { away, type NatsLink } from '../../../lib/adapters/nats/link.js'
import type { NatsSetup } from '../../../lib/adapters/nats/setup.js'
import { until } from '../../helpers/servers.js'

interface Kept {
  readonly id: number
  readonly seq: number
  readonly time: Date
  readonly data: Buffer
  readonly subject: string
}

/** The server that leads the stream of control messages, one of several. */
class Leader {
  readonly messages: Kept[] = []
  readonly asked: string[] = []
  /** answers that fail */
  failing = 0
  /** answers by a server that has not the newest message */
  stale = 0
  /** keeps reads waiting that look for the next message */
  hold: ((answer: () => void) => void) | undefined
  last = 0
  created = 'then'
  #kept = 0
  readonly #envelopes = new Envelopes('other', () => 0)
  #tell: (message: object) => void = () => undefined

  get link (): NatsLink {
    return {
      isUp: true,
      isClustered: true,
      timeout: 2_000,
      listen: (subject: string, callback: (message: object) => void) => {
        if (subject.endsWith('.told')) this.#tell = callback
        return { unsubscribe: () => undefined }
      },
      attempt: async (ask: () => Promise<unknown>) => await ask(),
      jsm: { streams: { info: this.#info.bind(this), getMessage: this.#getMessage.bind(this) } }
    } as unknown as NatsLink
  }

  keep (message: ControlMessage, time = 2_000): void {
    const data = Buffer.from(this.#envelopes.seal(message, 'other').text)
    const subject = 'realtime.control.kept'
    this.messages.push({ id: ++this.#kept, seq: ++this.last, time: new Date(time), data, subject })
  }

  /** Forwards the newest message, as the server does when it is accepted. */
  forward (): void {
    const { seq, data } = this.messages.at(-1)!
    this.#tell({ string: () => data.toString(), headers: new Map([['Nats-Sequence', String(seq)]]) })
  }

  /** Comes back with the data of a while ago. */
  restore (last: number): void {
    this.messages.splice(0, Infinity, ...this.messages.filter(({ seq }) => seq <= last))
    this.last = last
  }

  async #info (): Promise<object> {
    this.asked.push('info')
    if (this.failing > 0) {
      this.failing--
      throw away()
    }
    const { last, messages } = this
    const state = { first_seq: messages[0]?.seq ?? last + 1, last_seq: last, last_ts: String(messages.at(-1)?.id) }
    return { created: this.created, state: { ...state, messages: messages.length } }
  }

  async #getMessage (
    _stream: string,
    { seq: from, next_by_subj: behind }: { seq: number, next_by_subj?: string }
  ): Promise<Kept | null> {
    this.asked.push('message')
    const { hold } = this
    if (hold !== undefined && behind !== undefined) await new Promise<void>(hold)
    if (this.stale > 0) {
      this.stale--
      return null
    }
    return this.messages.find(({ seq }) => behind === undefined ? seq === from : seq >= from) ?? null
  }
}

async function heardBy (
  leader: Leader
): Promise<{ readonly control: NatsControl, readonly heard: ControlMessage[], readonly missed: ControlMessage[][] }> {
  const heard: ControlMessage[] = []
  const missed: ControlMessage[][] = []
  const setup = { use: async (_plan: object, ask: () => Promise<unknown>) => await ask(), forget: () => undefined }
  const control = new NatsControl({
    link: leader.link,
    kept: { setup: setup as unknown as NatsSetup, clock: { now: () => 1_000, ahead: 0 } as NatsClock },
    prefix: 'realtime',
    tag: 'mine',
    nodeId: 'mine',
    unread: new Unread({ warn: () => undefined }),
    deliver: (message) => { heard.push(message) },
    onMissed: () => { missed.push([...heard]) }
  })
  await control.start()
  for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate)
  leader.asked.length = 0
  return { control, heard, missed }
}

const REVOKED = { type: 'revoke', user: 'ann' } as const

t.test('a revocation that came through a blink is known after two answers of the server', async (t) => {
  const leader = new Leader()
  const { control, heard } = await heardBy(leader)
  leader.keep(REVOKED)
  await control.catchUp()
  t.same([heard, leader.asked], [[REVOKED], ['info', 'message']])
})

for (const [what, fault] of [
  ['the server did not answer', { failing: 2 }],
  ['a server answered that has not got it', { stale: 2 }]
] as const) {
  t.test(`a revocation that could not be read because ${what} is read again soon`, async (t) => {
    const leader = new Leader()
    const { control, heard } = await heardBy(leader)
    leader.keep(REVOKED)
    Object.assign(leader, fault)
    await control.catchUp()
    t.same(heard, [])
    await until('it is heard', () => heard.length === 1, 1_500)
    control.close()
  })
}

t.test('a node that was closed reads no more', async (t) => {
  const leader = new Leader()
  const { control } = await heardBy(leader)
  leader.failing = 1
  await control.catchUp()
  control.close()
  await sleep(400)
  t.same(leader.asked, ['info'])
})

t.test('messages that are past their time hold up no later ones', async (t) => {
  const leader = new Leader()
  const { control, heard } = await heardBy(leader)
  for (let count = 0; count < 3; count++) leader.keep({ type: 'leave', user: 'ann', room: 'chat/1' })
  leader.messages.length = 0
  await control.catchUp()
  t.same([heard, leader.asked], [[], ['info']])
  leader.keep(REVOKED)
  await control.catchUp()
  t.same(heard, [REVOKED])
})

t.test('a node that has not read for longer than messages are kept, or whose stream is another one, says so', async (t) => {
  const leader = new Leader()
  const { control, missed } = await heardBy(leader)
  await control.catchUp()
  t.same(missed, [])
  leader.created = 'later'
  leader.keep(REVOKED)
  await control.catchUp()
  t.same(missed, [[REVOKED]], 'behind what it has read')
  const real = performance.now
  let passed = 0
  performance.now = () => real.call(performance) + passed
  t.teardown(() => { performance.now = real })
  leader.failing = 1
  passed = 590_000
  await control.catchUp()
  t.equal(missed.length, 1, 'it is not back')
  await control.catchUp()
  t.equal(missed.length, 2)
  control.close()
})

/** A node that has heard 12 messages, of which its server keeps the first 10 when it comes back. */
async function restored (): Promise<{
  readonly leader: Leader
  readonly control: NatsControl
  readonly heard: ControlMessage[]
}> {
  const leader = new Leader()
  leader.keep({ type: 'leave', user: 'old', room: 'chat/1' }, 500)
  const { control, heard } = await heardBy(leader)
  while (leader.last < 12) {
    leader.keep({ type: 'leave', user: 'ann', room: 'chat/1' })
    leader.forward()
  }
  control.lost()
  leader.restore(10)
  heard.length = 0
  return { leader, control, heard }
}

const MOVED = { type: 'leave', user: 'bob', room: 'chat/1' } as const

t.test('a node says after each break that it may have missed messages where the broker keeps none', async (t) => {
  const link = { isUp: true, listen: () => ({ unsubscribe: () => undefined }) }
  let missed = 0
  const control = new NatsControl({
    link: link as unknown as NatsLink,
    kept: undefined,
    prefix: 'realtime',
    tag: 'mine',
    nodeId: 'mine',
    unread: new Unread({ warn: () => undefined }),
    deliver: () => undefined,
    onMissed: () => { missed++ }
  })
  await control.start()
  await control.catchUp()
  t.equal(missed, 0)
  for (const breaks of [1, 2]) {
    link.isUp = false
    control.lost()
    await control.catchUp()
    t.equal(missed, breaks - 1, 'it is not back')
    link.isUp = true
    await control.catchUp()
    await control.catchUp()
    t.equal(missed, breaks)
  }
})

t.test('a revocation that has the number of an older message, which a server lost, is heard by a node that was away', async (t) => {
  const { leader, control, heard } = await restored()
  leader.keep(REVOKED)
  leader.keep(MOVED)
  await control.catchUp()
  t.same(heard, [REVOKED, MOVED])
  await control.catchUp()
  t.same(heard, [REVOKED, MOVED], 'none comes twice, nor from before the start of the node')
})

t.test('what comes by the new link before the numbers have been compared hides no revocation before it', async (t) => {
  const { leader, control, heard } = await restored()
  leader.keep(REVOKED)
  leader.keep(MOVED)
  leader.keep({ type: 'join', user: 'bob', room: 'chat/1' })
  leader.forward()
  await control.catchUp()
  t.same(heard.map(({ type }) => type), ['revoke', 'leave', 'join'])
  leader.keep({ ...MOVED, user: 'eve' })
  leader.forward()
  t.equal(heard.length, 4, 'the next one is taken at once')
})

t.test('what was kept before the start is told from what came since, whatever the clock of the next server', async (t) => {
  const leader = new Leader()
  leader.keep({ type: 'leave', user: 'old', room: 'chat/1' }, 5_000)
  leader.keep({ type: 'moved', user: 'old', connection: 'c1' } as never, 500)
  const { control, heard } = await heardBy(leader)
  leader.keep(MOVED)
  leader.forward()
  control.lost()
  heard.length = 0
  leader.restore(2)
  leader.keep(REVOKED, 400)
  await control.catchUp()
  t.same(heard, [REVOKED])
})

t.test('behind more messages than a start remembers, what came since is heard, whatever the clock of the next server', async (t) => {
  const leader = new Leader()
  for (let count = 0; count <= 50_000; count++) leader.keep({ type: 'leave', user: 'old', room: 'chat/1' }, 500)
  const { control, heard } = await heardBy(leader)
  leader.keep(REVOKED, 400)
  await control.catchUp()
  t.same(heard, [REVOKED])
  control.lost()
  leader.restore(50_000)
  leader.keep(MOVED)
  leader.keep({ ...REVOKED, user: 'eve' }, 400)
  await control.catchUp()
  t.same(heard.slice(1), [MOVED, { ...REVOKED, user: 'eve' }], 'and nothing from before the start')
})

t.test('a message that came under the number of one from before the start, through a break, is not taken for it', async (t) => {
  const leader = new Leader()
  leader.keep({ type: 'leave', user: 'old', room: 'chat/1' }, 500)
  const held: Array<() => void> = []
  leader.hold = (answer) => { held.push(answer) }
  const { control, heard } = await heardBy(leader)
  control.lost()
  leader.restore(0)
  leader.keep(REVOKED)
  leader.hold = undefined
  for (const answer of held.splice(0)) answer()
  await control.catchUp()
  t.same(heard, [REVOKED])
})
