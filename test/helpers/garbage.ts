import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { until } from '../../lib/adapters/contract/until.js'

setFlagsFromString('--expose-gc')

/** Frees what nobody holds; a `WeakRef` that was made or followed in this turn holds what it names until that ends. */
export const collect = runInNewContext('gc') as () => void

/** Resolves once nobody holds any of these objects; rejects where one is still held at the deadline. */
export async function letGo (objects: ReadonlyArray<WeakRef<object>>, deadline = 5_000): Promise<void> {
  if (objects.length === 0) throw new Error('no object is named')
  await until('all are let go', () => {
    collect()
    return objects.every((object) => object.deref() === undefined)
  }, deadline)
}
