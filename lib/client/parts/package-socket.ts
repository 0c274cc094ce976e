import { loadSocket } from '../load-socket.js'
import type { Part } from '../part.js'

/**
 * Takes the WebSocket of the package `ws` where the platform has none and none was given: in Node 20. What it is to be
 * given may be the promise of a module that is not installed. It stands before `tickets`.
 */
export const packageSocket: Part = ({ line }) => {
  const { prepareSocket } = line
  line.prepareSocket = async () => {
    try {
      return await prepareSocket() ?? await loadSocket()
    } catch {}
  }
}
