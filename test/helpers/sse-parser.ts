/** The fields of one event by their names. */
export type SseFields = Readonly<Partial<Record<string, string>>>

/**
 * Reads Server-Sent Events (WHATWG HTML 9.2.6) from decoded text that comes in pieces of any size. It gives the data of
 * each event that has some, and beside it all fields.
 */
export function sseParser (onEvent: (data: string, fields: SseFields) => void): (text: string) => void {
  let rest = ''
  let fields: Partial<Record<string, string>> = {}
  return (text) => {
    // A CR at the end may be half of a CRLF, so it waits for the next piece.
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop()!
    for (const line of lines) {
      const { data } = fields
      if (line === '') {
        if (data !== undefined) onEvent(data, fields)
        fields = {}
      } else {
        const [name, value = ''] = line.split(/: ?(.*)/s)
        fields[name!] = name === 'data' && data !== undefined ? data + '\n' + value : value
      }
    }
  }
}
