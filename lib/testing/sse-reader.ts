/**
 * Splits a stream of Server-Sent Events (WHATWG HTML 9.2.6) into types, data and ids of its events. It reads what this
 * server sends, not every form that the standard allows.
 */
export class SseReader {
  readonly #onEvent: (event: { type: string, data: string, id: string | undefined }) => void
  #rest = ''

  constructor (onEvent: (event: { type: string, data: string, id: string | undefined }) => void) {
    this.#onEvent = onEvent
  }

  push (text: string): void {
    const blocks = (this.#rest + text).split('\n\n')
    this.#rest = blocks.pop()!
    for (const block of blocks) {
      let type = 'message'
      let data: string | undefined
      let id: string | undefined
      for (const line of block.split('\n')) {
        if (line.startsWith('event: ')) type = line.slice(7)
        else if (line.startsWith('data: ')) data = line.slice(6)
        else if (line.startsWith('id: ')) id = line.slice(4)
      }
      if (data !== undefined) this.#onEvent({ type, data, id })
    }
  }
}
