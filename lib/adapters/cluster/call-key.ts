/** The key under which a worker asks again for a publication that has none of its own: the call that made it. */
export function keyOfCall (tag: string, call: number): string { return `~${tag}-${call}` }

/** Reads the worker and its call from such a key. */
export function callOfKey (key: string): { readonly tag: string, readonly call: number } | undefined {
  const [, tag, call] = /^~(.+)-(\d+)$/.exec(key) ?? []
  return tag === undefined ? undefined : { tag, call: Number(call) }
}

/** What the primary says where it no longer knows whether a publication was made. */
export const FORGOTTEN = 'forgotten'
