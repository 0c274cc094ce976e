/**
 * Reads Server-Sent Events (WHATWG HTML 9.2.6) from decoded text that comes in pieces of any size. It uses only `data`,
 * because each frame names its own type and positions are kept by offset.
 */
export function sseParser (onData: (data: string) => void): (text: string) => void {
  let rest = ''
  let data: string | undefined
  return (text) => {
    // A CR at the end may be half of a CRLF, so it waits for the next piece.
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop()!
    for (const line of lines) {
      if (line === '') {
        if (data !== undefined) onData(data)
        data = undefined
      } else {
        const field = /^data(?:: ?|$)(.*)/s.exec(line)
        if (field) data = (data === undefined ? '' : data + '\n') + field[1]!
      }
    }
  }
}
