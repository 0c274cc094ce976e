import type { ChatTransport, UIMessage, UIMessageChunk } from 'ai'
import { after } from '../client/timers.js'
import type { Client, RealtimeError } from '../client/types.js'
import type { Address, AnyMessages } from '../contract/types.js'
import { ItemDecoder } from './items.js'

/** What the transport was asked to send. */
export interface ChatRequest<M extends UIMessage = UIMessage> {
  /** The chat, which is a room of its own. */
  readonly chatId: string
  /** Whether a message was added, or an answer is wanted once more. */
  readonly trigger: 'submit-message' | 'regenerate-message'
  /** The id of the answer that is wanted once more. */
  readonly messageId: string | undefined
  /** All messages of the chat. */
  readonly messages: M[]
  /** What `sendMessage(message, { body })` was given besides. */
  readonly body?: object | undefined
}

/** Names of the contract's parts, and how a request becomes a message of it. */
export interface ChatTransportOptions<M extends UIMessage = UIMessage> {
  /** Makes the params of a chat's room. @default (chatId) => ({ id: chatId }) */
  readonly params?: (chatId: string) => Record<string, string>
  /** The message that asks; its reply is `{ answer }`, the key of the text. @default 'ask' */
  readonly ask?: string
  /**
   * The message that stops an answer; its data is `{ answer }`, and it is best declared with `concurrent: true`.
   *
   * @default 'stop'
   */
  readonly stop?: string
  /** The `append` event of the answer; what grows of it is an array. @default 'answer' */
  readonly event?: string
  /**
   * Makes the data of the message that asks. A message is at most `limits.message` bytes, so that a long chat sends its
   * last message only, and the server keeps the others.
   *
   * @default { trigger, messageId, messages, ...body }
   */
  readonly prepare?: (request: ChatRequest<M>) => unknown
}

/** A family of rooms, one for each chat, whatever its types. */
export interface ChatDefinition {
  /** The room of a chat. */
  at (params: never): Address<AnyMessages, unknown, unknown>
}

/** The part of a room that the transport uses; the contract's names are options, so that its types say nothing here. */
interface ChatRoom {
  readonly joined: Promise<{ readonly growing?: readonly string[] }>
  on (event: string, listener: (event: Grown) => void): () => void
  /** The room has ended, for whatever reason. */
  on (event: '', listener: () => void): () => void
  send (message: string, data: unknown): Promise<unknown>
  stream (event: string, key: string): AsyncIterable<unknown>
  leave (): Promise<void>
}

/** An event of the answer, as the client gives it to listeners. */
interface Grown { readonly data: Record<string, unknown>, readonly end?: unknown }

interface Chat {
  readonly room: ChatRoom
  /** Streams of its answers that are being read, and calls that wait for one. */
  readers: number
  /** The answer that grows at the moment. */
  growing: string | undefined
  /** Whether the answer may still come of which the join has told that it grows: what a join says is of its moment. */
  isExpected: boolean
  /** Whether a frame of any answer has come. */
  hasHeard: boolean
  /** Whether its room has ended. */
  isOver: boolean
  /** Called with each frame of an answer, and with the end of the room. */
  readonly heard: Set<() => void>
}

/** Ends that somebody meant, here or elsewhere: the answer is not whole, and that is no error. */
const STOPPED: ReadonlySet<string> = new Set(['cancelled', 'aborted'])
/**
 * Milliseconds without a frame of an answer, behind one of an answer that has ended, after which none is awaited. Those
 * that have ended come before the one that grows, and a slow link brings each when it has room.
 */
const SETTLED = 5_000
/** Rooms of chats that nobody reads any more and that are kept, since a page may come back to them. */
const KEPT = 16

/**
 * Carries the chats of `useChat` of the AI SDK over the rooms of a client: each chat is a room, each answer a text that
 * grows in it. An answer outlives links, reloads and tabs: `useChat({ resume: true })` goes on with the one that grows.
 *
 * @param client it stays open when the transport is closed
 * @param definition its messages and events are named by the options
 */
export function createChatTransport<M extends UIMessage = UIMessage> (
  client: Client,
  definition: ChatDefinition,
  options: ChatTransportOptions<M> = {}
): ChatTransport<M> & {
  /** Leaves the rooms of all chats. */
  close (): void
} {
  return new RoomTransport(client, definition, options)
}

class RoomTransport<M extends UIMessage> implements ChatTransport<M> {
  /** An answer is given from its beginning, also to who comes back to it. */
  readonly resumeStreamIsReplay = true
  readonly #client: Client
  readonly #definition: ChatDefinition
  readonly #options: Required<ChatTransportOptions<M>>
  /** The chats of the page, the one that was used last at the end. */
  readonly #chats = new Map<string, Chat>()

  constructor (client: Client, definition: ChatDefinition, options: ChatTransportOptions<M>) {
    this.#client = client
    this.#definition = definition
    this.#options = {
      params: (id) => ({ id }),
      ask: 'ask',
      stop: 'stop',
      event: 'answer',
      prepare: ({ trigger, messageId, messages, body }) => ({ trigger, messageId, messages, ...body }),
      ...options
    }
  }

  readonly sendMessages: ChatTransport<M>['sendMessages'] = async ({ abortSignal, ...request }) => {
    abortSignal?.throwIfAborted()
    const { ask, prepare } = this.#options
    const chat = this.#chat(request.chatId)
    const { room } = chat
    const asked = room.send(ask, prepare(request)).then((reply) => answerOf(reply, ask))
    // The answer is stopped as soon as its key is known.
    const stop = (): void => { asked.then((answer) => { this.#stop(room, answer) }, () => undefined) }
    const answer = await whileUsed(chat, async () => await unlessAborted(asked, abortSignal, stop))
    return this.#read(chat, answer, abortSignal)
  }

  readonly reconnectToStream: ChatTransport<M>['reconnectToStream'] = async ({ chatId, abortSignal }) => {
    abortSignal?.throwIfAborted()
    const chat = this.#chat(chatId)
    const { event } = this.#options
    await whileUsed(chat, async () => {
      const { growing = [] } = await unlessAborted(chat.room.joined, abortSignal)
      if (chat.growing !== undefined || !chat.isExpected || !growing.includes(event)) return
      await begun(chat, async () => await this.#grows(chatId), abortSignal)
    })
    abortSignal?.throwIfAborted()
    return chat.growing === undefined ? null : this.#read(chat, chat.growing, abortSignal)
  }

  readonly close = (): void => {
    for (const chat of this.#chats.values()) leave(chat)
    this.#chats.clear()
  }

  #chat (id: string): Chat {
    const chat = this.#chats.get(id) ?? this.#join(id)
    this.#chats.delete(id)
    this.#chats.set(id, chat)
    return chat
  }

  #room (id: string): ChatRoom {
    // The contract's names are options of the transport, so the types of its rooms are not known here.
    return this.#client.join(this.#definition.at(this.#options.params(id) as never)) as unknown as ChatRoom
  }

  /** Whether an answer grows in a chat whose room is joined, by what the client was told last. */
  async #grows (id: string): Promise<boolean> {
    const room = this.#room(id)
    try {
      const { growing = [] } = await room.joined
      return growing.includes(this.#options.event)
    } catch {
      return false
    } finally {
      void room.leave()
    }
  }

  #join (id: string): Chat {
    this.#leaveUnused()
    const room = this.#room(id)
    const chat: Chat = {
      room, readers: 0, growing: undefined, isExpected: true, hasHeard: false, isOver: false, heard: new Set()
    }
    room.on(this.#options.event, ({ data, end }) => {
      // The key is the first property of an event whose text grows.
      const key = String(Object.values(data)[0])
      chat.hasHeard = true
      if (end === undefined) {
        chat.growing = key
        chat.isExpected = false
      } else if (chat.growing === key) chat.growing = undefined
      for (const hear of chat.heard) hear()
    })
    // Whoever uses the chat again joins it again: a client may go on behind a login, and a user may be let in later.
    room.on('', () => {
      if (this.#chats.get(id) === chat) this.#chats.delete(id)
      end(chat)
    })
    return chat
  }

  #leaveUnused (): void {
    let excess = this.#chats.size - KEPT + 1
    for (const [id, chat] of this.#chats) {
      if (excess <= 0) return
      if (chat.readers > 0) continue
      excess--
      this.#chats.delete(id)
      leave(chat)
    }
  }

  /** Stops an answer on the server; it may have ended by itself meanwhile. */
  #stop (room: ChatRoom, answer: string): void {
    room.send(this.#options.stop, { answer }).catch(() => undefined)
  }

  #read (chat: Chat, answer: string, signal: AbortSignal | undefined): ReadableStream<UIMessageChunk> {
    const { room } = chat
    chat.readers++
    const parts = room.stream(this.#options.event, answer)[Symbol.asyncIterator]()
    const decoder = new ItemDecoder()
    let isOver = false
    let stop = (): void => undefined
    const over = (): void => {
      isOver = true
      chat.readers--
      signal?.removeEventListener('abort', stop)
    }
    return new ReadableStream<UIMessageChunk>({
      start: (controller) => {
        stop = () => {
          if (isOver) return
          over()
          this.#stop(room, answer)
          controller.error(abortError(signal!))
          void parts.return?.()
        }
        if (signal?.aborted === true) stop()
        else signal?.addEventListener('abort', stop, { once: true })
      },
      pull: async (controller) => {
        try {
          // A part without a chunk that is known here would leave its reader waiting.
          for (let hasMore = false; !hasMore;) {
            const { value, done } = await parts.next()
            if (isOver) return
            if (done === true) {
              over()
              controller.close()
              return
            }
            for (const item of value as readonly unknown[]) {
              const chunk = decoder.decode(item)
              if (chunk === undefined) continue
              hasMore = true
              controller.enqueue(chunk)
            }
          }
        } catch (error) {
          if (isOver) return
          over()
          const { code, message } = error as RealtimeError
          controller.enqueue(STOPPED.has(code)
            ? { type: 'abort', reason: message }
            : { type: 'error', errorText: message })
          controller.close()
        }
      },
      cancel: () => {
        if (!isOver) over()
        void parts.return?.()
      }
    })
  }
}

function answerOf (reply: unknown, ask: string): string {
  const { answer } = (reply ?? {}) as { readonly answer?: unknown }
  if (typeof answer === 'string') return answer
  throw new TypeError(`the reply to "${ask}" has no string "answer", the key of the text in which the answer grows`)
}

function leave (chat: Chat): void {
  end(chat)
  void chat.room.leave()
}

function end (chat: Chat): void {
  chat.isOver = true
  for (const hear of chat.heard) hear()
}

/** Keeps the room of a chat while a call waits in it. */
async function whileUsed<T> (chat: Chat, wait: () => Promise<T>): Promise<T> {
  chat.readers++
  try {
    return await wait()
  } finally {
    chat.readers--
  }
}

/**
 * Waits unless it is given up.
 *
 * @param onAbort called where that happens first
 * @throws what the signal was aborted with
 */
async function unlessAborted<T> (
  asked: Promise<T>, signal: AbortSignal | undefined, onAbort?: () => void
): Promise<T> {
  if (signal === undefined) return await asked
  let give = (): void => undefined
  const given = new Promise<never>((_resolve, reject) => {
    give = () => {
      reject(abortError(signal))
      onAbort?.()
    }
    signal.addEventListener('abort', give, { once: true })
  })
  try {
    return await Promise.race([asked, given])
  } finally {
    signal.removeEventListener('abort', give)
  }
}

/**
 * Waits for the answer of which the join has told that it grows. Answers that have ended and are still kept come before
 * it, and it may have ended, too, when its turn comes; behind that none is expected any more. Where no frame comes it
 * may be gone since: the link may have broken meanwhile, and a later join says whether an answer grows.
 */
async function begun (chat: Chat, grows: () => Promise<boolean>, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    let cancel = after(SETTLED, () => { void look() })
    const look = async (): Promise<void> => {
      const isThere = await grows()
      // A frame has come meanwhile, or the wait is over.
      if (chat.hasHeard || !chat.heard.has(hear)) return
      if (isThere) cancel = after(SETTLED, () => { void look() })
      else settled()
    }
    const over = (): void => {
      cancel()
      signal?.removeEventListener('abort', over)
      chat.heard.delete(hear)
      resolve()
    }
    const settled = (): void => {
      chat.isExpected = false
      over()
    }
    const hear = (): void => {
      if (chat.growing !== undefined || chat.isOver) return over()
      cancel()
      cancel = after(SETTLED, settled)
    }
    signal?.addEventListener('abort', over)
    chat.heard.add(hear)
    if (chat.hasHeard || chat.isOver) hear()
  })
}

function abortError (signal: AbortSignal): unknown {
  return signal.reason ?? new DOMException('the answer was stopped', 'AbortError')
}
