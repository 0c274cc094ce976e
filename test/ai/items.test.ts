import assert from 'node:assert/strict'
import type { UIMessageChunk } from 'ai'
import fc from 'fast-check'
import t from 'tap'
import { ItemDecoder, ItemEncoder } from '../../lib/ai/items.js'

const id = fc.constantFrom('a', 'b')
const chunk: fc.Arbitrary<UIMessageChunk> = fc.oneof(
  fc.record({ type: fc.constantFrom('text-start', 'text-end', 'reasoning-start', 'reasoning-end'), id }),
  fc.record({ type: fc.constantFrom('text-delta', 'reasoning-delta'), id, delta: fc.string() }),
  fc.record({
    type: fc.constant('text-delta' as const), id, delta: fc.string(), providerMetadata: fc.constant({ of: { n: 1 } })
  }),
  fc.constantFrom<UIMessageChunk>(
    { type: 'start', messageId: 'm' }, { type: 'start-step' }, { type: 'finish' }, { type: 'error', errorText: 'no' },
    { type: 'tool-input-start', toolCallId: 'c', toolName: 'weather' },
    { type: 'tool-input-delta', toolCallId: 'c', inputTextDelta: '{' },
    { type: 'tool-output-available', toolCallId: 'c', output: { degrees: 20 } }
  )
) as fc.Arbitrary<UIMessageChunk>

t.test('the chunks of an answer come out as they went in, whatever their order', async (t) => {
  t.doesNotThrow(() => {
    fc.assert(fc.property(fc.array(chunk, { maxLength: 40, size: 'max' }), (chunks) => {
      const [encoder, decoder] = [new ItemEncoder(), new ItemDecoder()]
      const sent = JSON.parse(JSON.stringify(chunks.map((each) => encoder.encode(each)))) as unknown[]
      assert.equal(JSON.stringify(sent.map((item) => decoder.decode(item))), JSON.stringify(chunks))
    }), { numRuns: 200 })
  })
})

t.test('a token of the part that began last is its text and nothing else', async (t) => {
  const encoder = new ItemEncoder()
  t.same([
    { type: 'start' }, { type: 'text-start', id: 'a' }, { type: 'text-delta', id: 'a', delta: 'Hi' },
    { type: 'text-delta', id: 'b', delta: 'other' }
  ].map((each) => encoder.encode(each as UIMessageChunk)), [
    { type: 'start' }, { type: 'text-start', id: 'a' }, 'Hi', { type: 'text-delta', id: 'b', delta: 'other' }
  ])
})

t.test('what is no item is passed over', async (t) => {
  const decoder = new ItemDecoder()
  t.same([5, null, [], {}, { type: 5 }, 'text of no part'].map((item) => decoder.decode(item)), Array(6).fill(undefined))
})
