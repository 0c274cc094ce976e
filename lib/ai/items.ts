import type { UIMessageChunk } from 'ai'

/**
 * What a chunk of the AI SDK is in a text that grows. Most chunks are a few characters of text, so a delta of the part
 * that began last is a plain string; everything else is the chunk itself.
 */
export type ChatItem = string | UIMessageChunk

/** The part that began last, to which plain strings belong. */
interface Part { readonly id: string, readonly delta: 'text-delta' | 'reasoning-delta' }

function begunBy (chunk: UIMessageChunk): Part | undefined {
  if (chunk.type === 'text-start') return { id: chunk.id, delta: 'text-delta' }
  if (chunk.type === 'reasoning-start') return { id: chunk.id, delta: 'reasoning-delta' }
  return undefined
}

/** Writes the chunks of one answer as items. */
export class ItemEncoder {
  #part: Part | undefined

  encode (chunk: UIMessageChunk): ChatItem {
    this.#part = begunBy(chunk) ?? this.#part
    const isPlain = 'delta' in chunk && chunk.type === this.#part?.delta && chunk.id === this.#part.id &&
      Object.keys(chunk).length === 3
    return isPlain ? (chunk as { delta: string }).delta : chunk
  }
}

/** Reads the items of one answer, from the first one on. */
export class ItemDecoder {
  #part: Part | undefined

  /** @returns nothing for what is no item: another version may have written it */
  decode (item: unknown): UIMessageChunk | undefined {
    if (typeof item === 'string') {
      const part = this.#part
      return part === undefined ? undefined : { type: part.delta, id: part.id, delta: item }
    }
    if (typeof item !== 'object' || item === null || typeof (item as { type?: unknown }).type !== 'string') {
      return undefined
    }
    const chunk = item as UIMessageChunk
    this.#part = begunBy(chunk) ?? this.#part
    return chunk
  }
}
