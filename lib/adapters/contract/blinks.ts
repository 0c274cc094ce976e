import type { Adapter, Control, ControlMessage, Publication } from '../adapter.js'
import { live, node, reliable, said, textOf, type Node } from './host.js'
import type { ContractTest } from './suite.js'
import { until } from './until.js'

/** A node whose link to the broker can be cut, and another one whose link stands. */
export interface Link {
  /** Makes the adapter of the node whose link is cut. */
  readonly make: () => Adapter
  /** Makes an adapter of another node. */
  readonly makeOther: () => Adapter
  /** Breaks the link, and lets none be made. */
  readonly cut: () => Promise<void>
  /** Lets the link be made again. */
  readonly mend: () => Promise<void>
}

/** Milliseconds in which all is repaired. */
const SOON = 15_000
/** Revocations that are sent at once: more than fit into a short list of the newest. */
const MANY = 300
const ROOMS = [['chat/1', reliable], ['live/1', live]] as const

/** One of each kind that must not be lost. */
const KEPT: readonly ControlMessage[] = [
  { type: 'expel', user: 'ann', room: 'chat/1', until: Date.now() + 60_000 },
  { type: 'close', user: 'ann', code: 'draining' },
  { type: 'join', user: 'ann', room: 'chat/2' },
  { type: 'leave', user: 'ann', room: 'chat/2' },
  { type: 'cancel', room: 'chat/1', event: 'answered', key: 'a1' },
  { type: 'moved', user: 'ann', connection: 'c1' },
  { type: 'owed', told: [{ user: 'ann', connection: 'c1', room: 'chat/2', code: 'left', message: 'out' }] }
]

/**
 * Tries that a link which was away for a moment loses nothing unsaid: events come once and in order, values and who is
 * there are read again, and what nodes tell each other and must not be lost comes once, also to a node that was cut off
 * while it was sent. The test takes some seconds, because it waits for the adapter to connect again.
 */
export async function blinks (t: ContractTest, { make, makeOther, cut, mend }: Link): Promise<void> {
  const far = await node(t, makeOther(), 'far')
  const control = far.adapter.control
  // It was sent before the other node came, which it does not concern.
  await control?.send({ type: 'revoke', user: 'before' })
  const near = await node(t, make(), 'near')
  for (const [room, settings] of ROOMS) await near.adapter.subscribe(room, settings)
  await say(far, 'heard')
  await near.adapter.presence?.join('chat/1', { userId: 'user 0', connection: 'c0' }, 60_000)
  await near.host.heard('chat/1', 1)

  const wanted: ControlMessage[] = []
  for (const round of [1, 2]) {
    await cut()
    await until('the link is down', () => near.host.states.at(-1) === false)
    for (const text of ['missed', 'missed as well']) await say(far, `${text} ${round}`)
    await far.adapter.presence?.join('chat/1', { userId: `user ${round}`, connection: `c${round}` }, 60_000)
    if (control !== undefined) wanted.push(...await sendAll(control, round))
    await mend()
    await until('the link is up', () => near.host.states.at(-1) === true)
    await repaired(t, near, far, round)
  }
  if (control === undefined) return
  const fence: ControlMessage = { type: 'revoke', user: 'fence' }
  await control.send(fence)
  await until('the last message is heard', () => near.host.controls.some(({ message }) => isSame(message, fence)), SOON)
  t.same(near.host.controls.filter(isMeant).map(({ message }) => message), [...wanted, fence], 'each comes once, in order')
  t.equal(near.host.missing, 0, 'none is missing')

  const late = await node(t, makeOther(), 'late')
  await control.send({ type: 'revoke', user: 'after' })
  await until('a new node hears what is sent from then on', () => late.host.controls.some(isMeant), SOON)
  t.same(late.host.controls.filter(isMeant).map(({ message }) => message), [{ type: 'revoke', user: 'after' }])
}

const isSame = (one: ControlMessage, other: ControlMessage): boolean => JSON.stringify(one) === JSON.stringify(other)

/** Nodes of an adapter may tell each other other things too. */
const isMeant = ({ message: { type } }: { message: ControlMessage }): boolean => {
  return type === 'revoke' || KEPT.some((each) => each.type === type)
}

async function say ({ adapter }: Node, text: string): Promise<void> {
  await adapter.publish('chat/1', said(text), reliable)
  const value: Publication = said(text, { type: 'score', delivery: 'latest', key: 'red' })
  for (const [room, settings] of ROOMS) await adapter.publish(room, value, settings)
}

async function sendAll (control: Control, round: number): Promise<ControlMessage[]> {
  const revocations = Array.from({ length: MANY }, (_, n) => ({ type: 'revoke' as const, user: `user ${round} ${n}` }))
  const all = [...revocations, ...KEPT]
  for (const message of all) await control.send(message)
  return all
}

async function repaired (t: ContractTest, { adapter, host }: Node, far: Node, round: number): Promise<void> {
  const last = `missed as well ${round}`
  if (adapter.history !== undefined) {
    const heard = (): string[] => (host.events.get('chat/1') ?? [])
      .filter(({ position }) => position !== undefined)
      .map(textOf)
    await until('the last event is heard', () => heard().at(-1) === last, SOON)
    const all = [1, 2].slice(0, round).flatMap((each) => [`missed ${each}`, `missed as well ${each}`])
    t.same(heard(), ['heard', ...all], 'each event comes once, in order')
    t.same(host.gaps, [], 'nothing is lost')
  }
  if (adapter.latest !== undefined) {
    for (const [room] of ROOMS) await until(`the value of ${room} is shown`, () => host.shown(room)[0] === `red ${last}`, SOON)
  }
  const { presence } = far.adapter
  if (presence === undefined) return
  const { sequence, total } = await presence.snapshot('chat/1', 10)
  t.equal(total, round + 1)
  await until('who came is told', () => host.changes.get('chat/1')?.at(-1)?.sequence === sequence, SOON)
}
