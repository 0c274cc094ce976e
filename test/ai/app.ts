import { randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import { simulateReadableStream, stepCountIs, streamText, tool, type UIMessage } from 'ai'
import { MockLanguageModelV4 } from 'ai/test'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { pipe } from '../../lib/ai/index.js'
import { defineRoom } from '../../lib/index.js'

export const ai = defineRoom('ai/:id', {
  messages: {
    ask: {
      data: Type.Object({ messages: Type.Array(Type.Unknown()) }, { additionalProperties: true }),
      reply: Type.Object({ answer: Type.String() })
    },
    stop: { data: Type.Object({ answer: Type.String() }), concurrent: true }
  },
  events: {
    answer: {
      data: Type.Object({ id: Type.String(), chunks: Type.Array(Type.Unknown()) }),
      delivery: 'append',
      key: 'id',
      append: 'chunks'
    }
  }
})

type Part = Parameters<typeof simulateReadableStream>[0]['chunks'][number]

const USAGE = {
  inputTokens: { total: 1, noCache: 1, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 1, text: 1, reasoning: undefined }
}
const finish = (reason: 'stop' | 'tool-calls'): Part => ({
  type: 'finish', finishReason: { unified: reason, raw: undefined }, usage: USAGE
})

/** The tokens of an answer. */
export const TOKENS = Array.from({ length: 60 }, (_, n) => `word${n} `)

export interface Chats {
  /** Answers that were given up before their end. */
  readonly stopped: string[]
  /** Keys of all answers. */
  readonly answers: string[]
}

/** Declares an assistant whose model says 60 words, calls a tool when asked for the weather, and fails on demand. */
export function declareChats (app: FastifyInstance, pause: number): Chats {
  const chats: Chats = { stopped: [], answers: [] }
  const weather = tool({
    description: 'the weather of a town',
    inputSchema: z.object({ town: z.string() }),
    execute: async ({ town }) => ({ town, degrees: 20 })
  })
  app.room(ai, {
    on: {
      async ask ({ data, room }) {
        const { parts } = (data.messages as UIMessage[]).at(-1)!
        const text = parts.map((part) => part.type === 'text' ? part.text : '').join('')
        const id = randomUUID()
        const writer = await room.stream('answer', { id })
        chats.answers.push(id)
        writer.signal.addEventListener('abort', () => { chats.stopped.push(id) })
        const result = streamText({
          model: modelFor(text, pause),
          prompt: text,
          abortSignal: writer.signal,
          tools: { weather },
          stopWhen: stepCountIs(2),
          onError: () => undefined
        })
        pipe(result, writer).catch(() => undefined)
        return { answer: id }
      },
      async stop ({ data, room }) { await room.cancel('answer', data.answer) }
    }
  })
  return chats
}

function modelFor (text: string, pause: number): MockLanguageModelV4 {
  let step = 0
  return new MockLanguageModelV4({
    doStream: async () => {
      if (text.includes('fail')) throw new Error('the model is out')
      const isCall = text.includes('weather') && step++ === 0
      const chunks: Part[] = isCall
        ? [
            { type: 'tool-input-start', id: 'c1', toolName: 'weather' },
            { type: 'tool-input-delta', id: 'c1', delta: '{"town":"Oslo"}' },
            { type: 'tool-input-end', id: 'c1' },
            { type: 'tool-call', toolCallId: 'c1', toolName: 'weather', input: '{"town":"Oslo"}' },
            finish('tool-calls')
          ]
        : [
            { type: 'text-start', id: 't1' },
            ...TOKENS.map((delta): Part => ({ type: 'text-delta', id: 't1', delta })),
            { type: 'text-end', id: 't1' },
            finish('stop')
          ]
      return { stream: simulateReadableStream({ chunks, chunkDelayInMs: pause }) as never }
    }
  })
}
