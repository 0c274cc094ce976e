/** The key under which a worker asks again for a publication that has none of its own: the call that made it. */
export function keyOfCall (tag: string, call: number): string { return `~${tag}-${call}` }
