import type { Socket } from 'node:net'

/**
 * Tells each whole line that comes from `socket`. What stands behind the last line's end when the connection breaks is
 * half a line: nobody hears it. An error of the socket stays the socket's.
 */
export function onLine (socket: Socket, heard: (line: string) => void): void {
  let rest = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) heard(line)
  })
}
