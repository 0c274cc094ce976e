import { after } from './timers.js'

/**
 * Settles as `work` does, or rejects once that takes too long; what becomes of it then is nobody's concern.
 *
 * @param timeout milliseconds
 * @param late makes the error of a work that takes longer
 */
export async function within<T> (timeout: number, work: Promise<T>, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const end = new Promise<never>((_resolve, reject) => { timer = after(() => { reject(late()) }, timeout) })
  try {
    return await Promise.race([work, end])
  } finally {
    clearTimeout(timer)
  }
}
