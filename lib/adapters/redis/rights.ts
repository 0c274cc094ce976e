import { REALTIME_ERR_ADAPTER } from '../../errors/misuse.js'
import { within } from '../broker/patience.js'
import { messageOf } from './clients.js'
import type { Keys } from './keys.js'
import { script, type Script } from './scripts/script.js'
import { probesOf } from './shards.js'

/** Commands that scripts use, or that are sent first when something has happened: no start would miss them. */
const OF_KEYS = `
  append del exists get getdel hdel hexists hget hgetall hincrby hkeys hlen hmget hscan hset hsetnx hvals lpush lrange
  ltrim pexpire pttl set unlink xadd xlen xrange xrevrange xtrim zadd zcard zcount zpopmin zrange zrangebyscore zrem
  zremrangebyrank zremrangebyscore zscore
`
const OF_CHANNELS = 'spublish ssubscribe sunsubscribe'
const OF_NEITHER = 'eval evalsha info ping time'

/**
 * Tells which commands this user may not run, without running any.
 *
 * KEYS  1 a key
 * ARGV  1 commands of keys, 2 a channel, 3 commands of channels, 4 commands of neither
 * Reply names of commands
 */
const RIGHTS = script(1, `
local missing = {}
if not redis.acl_check_cmd then return missing end
local function look (commands, of)
  for command in string.gmatch(commands, '%a+') do
    local isKnown, may = pcall(redis.acl_check_cmd, command, of, of, of)
    if not (isKnown and may) then missing[#missing + 1] = command end
  end
end
look(ARGV[1], KEYS[1])
look(ARGV[3], ARGV[2])
look(ARGV[4], '0')
return missing
`)

/** What is needed of a link: whoever makes it says by this file what a server denies. */
interface Asked {
  readonly isCluster: boolean
  readonly slots: Parameters<typeof probesOf>[0] | undefined
  script (script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown>
}

/**
 * Asks each server whether this node may do all that it may have to do: a right that is missing would show in the
 * middle of a script, which has then done a part. A server that cannot be asked is no reason against a start.
 *
 * @throws REALTIME_ERR_ADAPTER naming the rights that are missing
 */
export async function checkRights (link: Asked, keys: Keys, timeout: number): Promise<void> {
  const places = link.isCluster ? probesOf(link.slots ?? []).map(({ tag }) => keys.shardMark(tag)) : [keys.mark]
  const missing = new Set<string>()
  await Promise.all(places.map(async (key) => {
    try {
      const args = [OF_KEYS, keys.control, OF_CHANNELS, OF_NEITHER]
      const found = await within(link.script(RIGHTS, [key], args), timeout) as string[]
      for (const command of found) missing.add(command)
    } catch (error) {
      if (error instanceof REALTIME_ERR_ADAPTER) throw error
    }
  }))
  if (missing.size === 0) return
  throw denied(`it may not run ${[...missing].join(', ')}`, [...missing].map((command) => `+${command}`).join(' '))
}

/** @returns the error of a start, where that is what a server says */
export function deniedBy (error: unknown): Error | undefined {
  const message = messageOf(error)
  return message.startsWith('NOPERM') ? denied(message, 'what it names') : undefined
}

function denied (what: string, grant: string): Error {
  return new REALTIME_ERR_ADAPTER(
    `Redis denies the user of this node a right that it needs (${what}): add ${grant} to its ACL, with the keys (~) and channels (&) of the prefix, as the page Redis of the documentation lists them all`
  )
}
