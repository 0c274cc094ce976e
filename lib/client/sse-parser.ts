/**
 * Reads the frames of a stream from decoded text that comes in pieces of any size. The server ends an event by an empty
 * line and writes its frame as one `data:` line; names and positions stand in the frame itself.
 */
export function sseParser (onFrame: (data: string) => void): (text: string) => void {
  let rest = ''
  return (text) => {
    const events = (rest + text).split('\n\n')
    rest = events.pop()!
    for (const event of events) {
      const [, data] = /^data:([^\n]*)/m.exec(event) ?? []
      if (data) onFrame(data)
    }
  }
}
