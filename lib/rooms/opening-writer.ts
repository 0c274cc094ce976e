import { REALTIME_ERR_STREAM } from '../errors/misuse.js'
import { Refusal, refusalOf } from '../errors/refusal.js'
import type { TextEnd } from '../protocol/part.js'
import type { TextWriter } from './text-writer.js'

type Source = AsyncIterable<unknown> | Iterable<unknown>
interface How { readonly error?: { readonly code: string, readonly message: string } | undefined }

/** What readers are told of a chunk that the writer has refused: what is wrong with it is for the server alone. */
const REFUSED: TextEnd = { code: 'internal', message: 'a part of the text was refused' }

const FAILED = 'the source of the text failed'

/** The writer as the application has it, once its key is taken. */
class Writer {
  readonly #writer: TextWriter

  constructor (writer: TextWriter) {
    this.#writer = writer
  }

  get signal (): AbortSignal { return this.#writer.signal }

  write (chunk: unknown): Promise<void> { return this.#writer.write(chunk) }

  async from (source: Source): Promise<void> {
    let isWriting = false
    try {
      for await (const chunk of source) {
        isWriting = true
        await this.#writer.write(chunk)
        isWriting = false
      }
    } catch (error) {
      // Without a fault the writer would count as ended in good order.
      await this.#writer.stop(isWriting ? REFUSED : failureOf(error), error === undefined ? new Error(FAILED) : error)
      throw error
    }
  }

  async end (how: How = {}): Promise<void> { await this.#writer.end(endOf(how)) }
}

/**
 * What readers are told of what a source threw. The application's own refusals have a code and a 4xx status; the errors
 * of what asks a model have a status without one, and texts that are for nobody else.
 */
function failureOf (error: unknown): TextEnd {
  const isCoded = error instanceof Refusal || typeof (error as { code?: unknown } | null | undefined)?.code === 'string'
  const { refusal, cause } = refusalOf(error)
  if (!isCoded || cause !== undefined) return { code: 'internal', message: FAILED }
  return { code: refusal.code, message: refusal.message }
}

/** Ends a source of which nothing will be read, so that what it holds open is closed. */
async function giveUp (source: Source): Promise<void> {
  const parts = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
  // Why the key was refused is told, and not what the source makes of its end.
  try {
    await parts.return?.()
  } catch {}
}

/** @throws REALTIME_ERR_STREAM for an error without a code or a message */
function endOf ({ error }: How): TextEnd {
  if (error === undefined) return 'done'
  const { code, message } = error
  if (typeof code !== 'string' || typeof message !== 'string') {
    throw new REALTIME_ERR_STREAM('the error of an end is { code, message }, two strings')
  }
  return { code, message }
}

/** Makes a chunk now, because the application may change it until it is accepted; why it is refused is told then. */
function prepared (writer: TextWriter, chunk: unknown): () => string {
  try {
    const text = writer.prepare(chunk)
    return () => text
  } catch (error) {
    return () => { throw error }
  }
}

/** A writer whose key is still being taken: its calls wait for that. Awaited it is the writer. */
export class OpeningWriter implements PromiseLike<Writer> {
  readonly #opening: Promise<Writer>
  /** Makes what is written before the key is taken; absent where what was asked for cannot be opened. */
  #made: TextWriter | undefined
  #opened: Writer | undefined
  /** Why the key was refused. */
  #refused: { readonly error: unknown } | undefined
  #controller: AbortController | undefined

  /** @param open begins the text, and gives its writer to `onMade` before it returns */
  constructor (open: (onMade: (writer: TextWriter) => void) => Promise<TextWriter>) {
    this.#opening = open((writer) => { this.#made = writer }).then((writer) => (this.#opened = new Writer(writer)))
    // Whoever calls the writer or awaits it is told.
    this.#opening.catch((error: unknown) => { this.#refused = { error } })
  }

  then<A = Writer, B = never> (
    onOpened?: ((writer: Writer) => A | PromiseLike<A>) | null,
    onRefused?: ((error: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    return this.#opening.then(onOpened, onRefused)
  }

  get signal (): AbortSignal {
    if (this.#opened !== undefined) return this.#opened.signal
    if (this.#controller === undefined) {
      const controller = this.#controller = new AbortController()
      if (this.#refused !== undefined) controller.abort(this.#refused.error)
      this.#opening.then(({ signal }) => {
        if (signal.aborted) controller.abort(signal.reason)
        else signal.addEventListener('abort', () => { controller.abort(signal.reason) })
      }, (error: unknown) => { controller.abort(error) })
    }
    return this.#controller.signal
  }

  write (chunk: unknown): Promise<void> {
    if (this.#opened !== undefined) return this.#opened.write(chunk)
    const made = this.#made
    const text = made === undefined ? undefined : prepared(made, chunk)
    const written = this.#opening.then((writer) => text === undefined ? writer.write(chunk) : made!.append(text))
    written.catch(() => {})
    return written
  }

  async from (source: Source): Promise<void> {
    let writer: Writer
    try {
      writer = await this.#opening
    } catch (error) {
      await giveUp(source)
      throw error
    }
    await writer.from(source)
  }

  async end (how?: How): Promise<void> { await (await this.#opening).end(how) }
}
