import type { UIMessageChunk } from 'ai'
import type { StreamWriter } from '../types/streams.js'
import { ItemEncoder, type ChatItem } from './items.js'

/** The result of `streamText` of the AI SDK, or its stream of chunks. */
export type ChatResult =
  | {
    /** Makes the stream of chunks that `useChat` reads. */
    toUIMessageStream (): AsyncIterable<UIMessageChunk>
  }
  | AsyncIterable<UIMessageChunk>

/**
 * Writes the answer of a model into a stream, and ends it. Of an answer that is given up, because the stream was
 * cancelled or its signal aborted, nothing more is read.
 *
 * @param result `streamText(...)`, or the stream of its `toUIMessageStream(options)`
 * @param writer of an `append` event whose property that grows is an array
 * @returns when the end is published
 * @throws what the model throws, with which the stream ends for its readers too, and why the stream ended early
 */
export async function pipe (result: ChatResult, writer: StreamWriter<unknown>): Promise<void> {
  const chunks = 'toUIMessageStream' in result ? result.toUIMessageStream() : result
  await writer.from(itemsOf(chunks))
  await writer.end()
}

async function * itemsOf (chunks: AsyncIterable<UIMessageChunk>): AsyncGenerator<ChatItem> {
  const encoder = new ItemEncoder()
  for await (const chunk of chunks) yield encoder.encode(chunk)
}
