/**
 * Rejects with `timeout` when a room is not joined in time. The client goes on trying: to end that, leave the room.
 *
 * @param ms milliseconds
 */
export async function joinedWithin<T> (room: { readonly joined: Promise<T> }, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => { reject(Object.assign(new Error(`not joined within ${ms} ms`), { code: 'timeout' })) }, ms)
  })
  try {
    return await Promise.race([room.joined, late])
  } finally {
    clearTimeout(timer)
  }
}
