/*
 * What the compiler has to prove of hooks and composables; compiled by types.test.ts, never run. An expected error that
 * is missing is an error, and so is another type.
 */
import { Type } from '@sinclair/typebox'
import { defineRoom } from '../../lib/index.js'
import * as react from '../../lib/react/index.js'
import * as vue from '../../lib/vue/index.js'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
function equal<A> (): <B>(value: B, ..._proof: Equal<A, B> extends true ? [] : [never]) => void { return () => {} }

const chat = defineRoom('chat/:id', {
  messages: { say: { data: Type.Object({ text: Type.String() }), reply: Type.Object({ id: Type.String() }) } },
  events: {
    said: Type.Object({ text: Type.String() }),
    score: { data: Type.Object({ team: Type.String(), points: Type.Integer() }), delivery: 'latest', key: 'team' },
    answer: {
      data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'append', key: 'id', append: 'text'
    }
  },
  member: Type.Object({ name: Type.String() })
})
interface Score { team: string, points: number }
const room = chat.at({ id: '1' })
const maybe = room as typeof room | null

export async function ofReact (): Promise<void> {
  const view = react.useRoom(maybe, { last: 5, events: ['said'] })
  for (const { type, data } of view.events) {
    equal<'said'>()(type)
    equal<{ text: string }>()(data)
  }
  equal<{ id: string }>()(await view.send('say', { text: 'x' }))
  // @ts-expect-error no such message
  await view.send('sayd', { text: 'x' })
  // @ts-expect-error no such event
  react.useRoom(room, { events: ['nope'] })
  const [event] = react.useRoom(room).events
  if (event?.type === 'score') equal<Score>()(event.data)
  react.useEvent(room, 'said', ({ data }) => { equal<{ text: string }>()(data) })
  // @ts-expect-error no such event
  react.useEvent(room, 'nope', () => {})
  react.useEvent(room, '*', ({ type }) => { equal<'said' | 'score' | 'answer'>()(type) })
  equal<string | undefined>()(react.usePresence(view)[0]?.data.name)
  equal<ReadonlyMap<string, Score>>()(react.useLatest(room, 'score'))
  equal<Score | undefined>()(react.useLatest(maybe, 'score', 'red'))
  equal<string | undefined>()(react.useStream(room, 'answer', '1').text)
  // @ts-expect-error its texts do not grow
  react.useStream(room, 'said', '1')
}

export async function ofVue (): Promise<void> {
  const { events, send, status } = vue.useRoom(() => maybe, { last: 5, events: ['said'] })
  for (const { data } of events.value) equal<{ text: string }>()(data)
  equal<'idle' | 'joining' | 'joined' | 'ended'>()(status.value)
  equal<{ id: string }>()(await send('say', { text: 'x' }))
  // @ts-expect-error no such message
  await send('sayd', { text: 'x' })
  vue.useEvent(room, 'said', ({ data }) => { equal<{ text: string }>()(data) })
  equal<string | undefined>()(vue.usePresence(room).value[0]?.data.name)
  equal<Score | undefined>()(vue.useLatest(room, 'score', () => 'red').value)
  equal<string | undefined>()(vue.useStream(room, 'answer', '1').value.text)
  // @ts-expect-error its texts do not grow
  vue.useStream(room, 'said', '1')
}
