/** Milliseconds by which a mark is later than the quickest one, when the server is told that this link is slow. */
export const PATIENCE = 500

/**
 * Reads the frames of a stream from decoded text that comes in pieces of any size. The server ends an event by an empty
 * line and writes its frame, an object, as one `data:` line; names and positions stand in the frame itself. A comment
 * that holds an object, a mark with the server's clock, is given as well.
 */
export function sseParser (onFrame: (data: string) => void): (text: string) => void {
  let rest = ''
  return (text) => {
    const events = (rest + text).split('\n\n')
    rest = events.pop()!
    for (const event of events) {
      const data = /^(?:data)?:({[^\n]*)/m.exec(event)?.[1]
      if (data) onFrame(data)
    }
  }
}
