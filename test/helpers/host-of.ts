import type { Adapter, AdapterHost } from '../../lib/adapters/adapter.js'

/** Gives what a node lets its adapter call, once the node has started: a test says by it what a broker would. */
export function hostOf (adapter: Adapter): () => AdapterHost {
  const begin = adapter.start.bind(adapter)
  let host: AdapterHost | undefined
  adapter.start = async (given) => {
    host = given
    await begin(given)
  }
  return () => host!
}
