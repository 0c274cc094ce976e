import { simulateReadableStream } from 'ai'
import { MockLanguageModelV4 } from 'ai/test'

const WORDS = 'This answer comes word by word . Load the page again while it grows , or press Stop .'.repeat(4).match(/\S+\s*/g)!

/** Stands in for a model, needs no key, and always says the same. */
export const model = new MockLanguageModelV4({
  doStream: async () => ({
    stream: simulateReadableStream({
      chunkDelayInMs: 50,
      chunks: [
        { type: 'text-start' as const, id: 't' },
        ...WORDS.map((delta) => ({ type: 'text-delta' as const, id: 't', delta })),
        { type: 'text-end' as const, id: 't' },
        {
          type: 'finish' as const,
          finishReason: { unified: 'stop' as const, raw: undefined },
          usage: {
            inputTokens: { total: 1, noCache: 1, cacheRead: undefined, cacheWrite: undefined },
            outputTokens: { total: 1, text: 1, reasoning: undefined }
          }
        }
      ]
    })
  })
})
