import type { RedisLink } from './link.js'
import { FAILED, type Script } from './scripts/script.js'

/** One of many items for which a script runs: its keys, and the arguments for it alone. */
export interface Item { readonly keys: readonly string[], readonly args: ReadonlyArray<string | number> }

type Args = ReadonlyArray<string | number>

/** Items of one script. They bound the time for which a script occupies the server to less than a millisecond. */
const MANY = 100

/**
 * Runs a script for many items, with as many items as one step of the server may take; in a cluster with one item,
 * because each may be on another shard.
 *
 * @returns the items of each step, and its reply
 */
function stepsOf<T extends Item> (
  link: Pick<RedisLink, 'script' | 'isCluster'>,
  script: Script,
  args: Args,
  items: readonly T[]
): Array<readonly [readonly T[], Promise<unknown>]> {
  const size = link.isCluster ? 1 : MANY
  const steps: Array<readonly [readonly T[], Promise<unknown>]> = []
  for (let index = 0; index < items.length; index += size) {
    const some = items.slice(index, index + size)
    const all = [...args, ...some.flatMap((item) => item.args)]
    steps.push([some, link.script(script, some.flatMap(({ keys }) => keys), all)])
  }
  return steps
}

/**
 * Runs a script for many items.
 *
 * @param args of all items together
 * @returns the replies, each with the items that it is about
 * @throws Unreachable
 */
export async function many<T extends Item> (
  link: Pick<RedisLink, 'script' | 'isCluster'>,
  script: Script,
  args: Args,
  items: readonly T[]
): Promise<Array<readonly [readonly T[], unknown]>> {
  return await Promise.all(
    stepsOf(link, script, args, items).map(async ([some, reply]) => [some, await reply] as const)
  )
}

/**
 * Does the same with a script that goes on with the other items where one fails, whatever comes of single steps.
 *
 * @param width values in the reply for each item, the last of which says whether it has failed
 * @returns the values of each item, or why there are none
 */
export async function manySettled<T extends Item> (
  link: Pick<RedisLink, 'script' | 'isCluster' | 'declined'>,
  script: Script,
  args: Args,
  items: readonly T[],
  width: number
): Promise<Array<readonly [T, PromiseSettledResult<readonly string[]>]>> {
  const steps = stepsOf(link, script, args, items)
  const results = await Promise.allSettled(steps.map(([, reply]) => reply))
  return results.flatMap((result, step) => steps[step]![0].map((item, index) => {
    if (result.status === 'rejected') return [item, result] as const
    const value = (result.value as string[]).slice(index * width, (index + 1) * width)
    const last = value.at(-1) ?? ''
    if (!last.startsWith(FAILED)) return [item, { status: 'fulfilled', value }] as const
    return [item, { status: 'rejected', reason: link.declined(last.slice(FAILED.length)) }] as const
  }))
}
