import { HELD, MAX_NODES, REMEMBERED } from '../../broker/nodes.js'
import { AHEAD, change, CLOCK, DEAD, script } from './script.js'

/** Messages between nodes above which only those of the last minute are kept for those that cannot receive them now. */
const MANY_TOLD = 10_000
/** Messages of that minute. Above it one is refused, because an older one would be lost to a node that waits for it. */
const MAX_TOLD = 100_000

/**
 * Slots of one limit: holders by the server time at which each expires, and beside it the node of each. expire()
 * removes what has expired, at most 1 000 at a time; bury() removes what dead nodes held.
 */
const LEASES = CLOCK + DEAD + `
local holders, nodes
local function use (first) holders, nodes = KEYS[first], KEYS[first + 1] end
local function remove (holder)
  redis.call('ZREM', holders, holder)
  redis.call('HDEL', nodes, holder)
end
local function expire (now)
  for _, holder in ipairs(redis.call('ZRANGEBYSCORE', holders, '-inf', text(now), 'LIMIT', 0, 1000)) do remove(holder) end
end
local function bury (dead, now)
  local all = redis.call('HGETALL', nodes)
  for i = 1, #all, 2 do
    local score = redis.call('ZSCORE', holders, all[i])
    if not score or isDead(dead, all[i + 1], score, now) then remove(all[i]) end
  end
end
local function take (holder, mark, ttl, now, stamp, fence)
  local known = redis.call('HGET', nodes, holder)
  if stamp == '0' then stamp = text(nextStamp(known)) end
  redis.call('ZADD', holders, text(now + (mark == '' and ttl or ${HELD})), holder)
  if mark == '' then redis.call('HDEL', nodes, holder)
  else redis.call('HSET', nodes, holder, marked(mark, known, stamp, fence)) end
end
local function keep (ttl)
  for _, key in ipairs({ holders, nodes }) do
    if redis.call('PTTL', key) < tonumber(ttl) then redis.call('PEXPIRE', key, ttl) end
  end
end
`

/**
 * Takes one of a bounded number of slots.
 *
 * KEYS  1 holders (zset), 2 nodes (hash: mark by holder)
 * ARGV  1 holder, 2 limit, 3 ttl in ms, 4 mark or '', 5 dead nodes, 6 as of when, 7 fence or '',
 *       8 deadline
 * Reply when it was taken, '1' without a mark; '0' when all are taken
 */
export const LEASE_ACQUIRE = change(2, LEASES + `
use(1)
local now = millis()
expire(now)
local limit = tonumber(ARGV[2])
if redis.call('ZCARD', holders) >= limit and not redis.call('ZSCORE', holders, ARGV[1]) then
  local dead = parse(ARGV[5], ARGV[6])
  if dead then bury(dead, now) end
  if redis.call('ZCARD', holders) >= limit then return '0' end
end
local stamp = ARGV[4] == '' and '1' or text(nextStamp(redis.call('HGET', nodes, ARGV[1])))
take(ARGV[1], ARGV[4], ARGV[3], now, stamp, ARGV[7])
keep(ARGV[4] == '' and ARGV[3] or ${HELD})
return stamp
`)

/**
 * Renews slots of many limits. One that is missing is taken again whatever the limit; one that another node has taken
 * since is left to it.
 *
 * KEYS  of each slot as LEASE_ACQUIRE
 * ARGV  1 ttl in ms, 2 mark or '', then per slot: 3 holder, 4 when this node took it, 0 for unknown, 5 fence or '';
 *       last the deadline
 */
export const LEASE_RENEW = change(2, LEASES + `
local now = millis()
for i = 1, #KEYS / 2 do
  use((i - 1) * 2 + 1)
  local holder, stamp, fence, mark = ARGV[i * 3], ARGV[1 + i * 3], ARGV[2 + i * 3], ARGV[2]
  if mark == '' or not isLater(redis.call('HGET', nodes, holder), nodeOf(mark), stamp, '') then
    take(holder, mark, ARGV[1], now, stamp, fence)
  end
  keep(ARGV[2] == '' and ARGV[1] or ${HELD})
end
return 1
`)

/**
 * Releases a slot, unless another node has taken it since under the same name, or this one with a higher fence.
 *
 * KEYS  as LEASE_ACQUIRE
 * ARGV  1 holder, 2 node, 3 when this node took it, 4 fence or '' for any, 5 deadline
 */
export const LEASE_RELEASE = change(2, LEASES + `
use(1)
if not isLater(redis.call('HGET', nodes, ARGV[1]), ARGV[2], ARGV[3], ARGV[4]) then remove(ARGV[1]) end
return 1
`)

/**
 * Counts the slots taken.
 *
 * KEYS  as LEASE_ACQUIRE
 * ARGV  1 dead nodes, 2 as of when
 * Reply slots taken now
 */
export const LEASE_COUNT = script(2, LEASES + `
use(1)
local now, dead = millis(), parse(ARGV[1], ARGV[2])
if dead then bury(dead, now) end
return redis.call('ZCOUNT', holders, '(' .. text(now), '+inf')
`)

/**
 * One heartbeat of a node. Heartbeats that a clock has noted which was ahead are taken for those of now, so that nodes
 * that are dead since count as silent from now on, and not only when this clock has caught up.
 *
 * KEYS  1 nodes (zset by the server time of each node's last heartbeat)
 * ARGV  1 node, 2 milliseconds for which it could not reach the server: nodes whose heartbeat came shortly before that
 *       count as alive now, 3 how shortly, 4 deadline
 * Reply {now, time of the heartbeat before or '', node, time, node, time, ...}
 */
export const NODE_BEAT = change(1, CLOCK + `
local now = millis()
local before = redis.call('ZSCORE', KEYS[1], ARGV[1])
if tonumber(ARGV[2]) > 0 then
  for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], text(now - ARGV[2] - ARGV[3]), '+inf')) do redis.call('ZADD', KEYS[1], text(now), node) end
end
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], text(now + ${AHEAD}), '+inf')) do redis.call('ZADD', KEYS[1], text(now), node) end
redis.call('ZADD', KEYS[1], text(now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now - ${REMEMBERED}))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -${MAX_NODES} - 1)
redis.call('PEXPIRE', KEYS[1], ${REMEMBERED})
local reply = { text(now), before or '' }
local all = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #all, 2 do
  if all[i] ~= ARGV[1] then
    reply[#reply + 1] = all[i]
    reply[#reply + 1] = all[i + 1]
  end
end
return reply
`)

/**
 * Takes a node off the list that has ended and holds nothing. What it held would be held on as that of an unknown node.
 *
 * KEYS  1 nodes
 * ARGV  1 node, 2 deadline
 */
export const NODE_LEAVE = change(1, `
return redis.call('ZREM', KEYS[1], ARGV[1])
`)

/**
 * Claims a message id: a string '<hash>\n!<holder>' while its handler runs, '<hash>\n<outcome>' afterwards (an outcome
 * is JSON). A holder that claims what it holds has lost the answer to its claim, and gets it again.
 *
 * KEYS  1 claim
 * ARGV  1 hash, 2 lease in ms, 3 holder, '' for none, 4 deadline
 * Reply {'claimed'}, {'conflict'}, {'settled', outcome} or {'running', ms left}
 */
export const CLAIM = change(1, `
local known = redis.call('GET', KEYS[1])
local mine = ARGV[1] .. '\\n!' .. ARGV[3]
if not known or (known == mine and ARGV[3] ~= '') then
  redis.call('SET', KEYS[1], mine, 'PX', ARGV[2])
  return { 'claimed' }
end
local at = string.find(known, '\\n', 1, true)
if string.sub(known, 1, at - 1) ~= ARGV[1] then return { 'conflict' } end
if at < #known and string.sub(known, at + 1, at + 1) ~= '!' then return { 'settled', string.sub(known, at + 1) } end
return { 'running', redis.call('PTTL', KEYS[1]) }
`)

/**
 * Stores the outcome of a claim, or releases it; a claim that has meanwhile been taken for other content is left alone.
 *
 * KEYS  1 claim
 * ARGV  1 hash, 2 outcome or '' to release, 3 ttl in ms, 4 holder, '' for any holder, 5 deadline
 */
export const SETTLE = change(1, `
local known = redis.call('GET', KEYS[1])
if known and string.sub(known, 1, #ARGV[1] + 1) ~= ARGV[1] .. '\\n' then return 0 end
if ARGV[2] == '' then
  if ARGV[4] == '' or known == ARGV[1] .. '\\n!' .. ARGV[4] then redis.call('DEL', KEYS[1]) end
else redis.call('SET', KEYS[1], ARGV[1] .. '\\n' .. ARGV[2], 'PX', ARGV[3]) end
return 1
`)

/**
 * Keeps a value for one `take`.
 *
 * KEYS  1 value
 * ARGV  1 value, 2 ttl in ms, 3 deadline
 */
export const PUT = change(1, `
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)

/**
 * Takes a value, which is returned once.
 *
 * KEYS  1 value
 * ARGV  1 deadline
 * Reply the value
 */
export const TAKE = change(1, `
return redis.call('GETDEL', KEYS[1])
`)

/**
 * Forgets the key of a publication.
 *
 * KEYS  1 key
 * ARGV  1 deadline: a later publication may have the same key
 */
export const FORGET = change(1, `
return redis.call('DEL', KEYS[1])
`)

/**
 * Denies a subject for a time, never for less than an earlier call has said.
 *
 * KEYS  1 denial, 2 its version, which is never lower than an earlier one
 * ARGV  1 milliseconds from now, 2 version or '', 3 deadline
 */
export const DENY = change(2, CLOCK + `
local till = millis() + ARGV[1]
local known = tonumber(redis.call('GET', KEYS[1]) or '0')
if known < till then redis.call('SET', KEYS[1], text(till), 'PXAT', text(till)) end
if ARGV[2] ~= '' then
  local version = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(ARGV[2]))
  redis.call('SET', KEYS[2], text(version), 'PXAT', text(math.max(known, till)))
end
return 1
`)

/**
 * Sends a message to all nodes; one that must not be lost is kept for nodes that cannot receive it now. In front of
 * such a one stand `=`, its id and the id of the one before it, and a line break; both ids behind the label, with which
 * an earlier version takes it for one that does not follow, and reads.
 *
 * A server that took the place of another may have a clock that is behind the ids of that one. Ids that stood still
 * until it has caught up would not tell which messages are a minute old, and soon none more would be taken. So each
 * message says by how much the clock is `behind`, and the time of the next one goes on from there.
 *
 * KEYS  1 channel, 2 kept messages (stream)
 * ARGV  1 message, 2 milliseconds that it is kept or '', 3 milliseconds that it is kept however many there are,
 *       4 label, 5 deadline
 */
export const TELL = change(2, CLOCK + `
local message, label = ARGV[1], ARGV[4]
if ARGV[2] ~= '' then
  local now, behind = millis(), 0
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  local at = last and tonumber(string.match(last[1], '^%d+')) or 0
  if at > now then
    behind = math.max(last[2][3] == 'behind' and tonumber(last[2][4]) or 0, at - now)
    now = now + behind
  end
  redis.call('XTRIM', KEYS[2], 'MINID', '=', text(math.max(0, now - ARGV[2])))
  if redis.call('XLEN', KEYS[2]) >= ${MANY_TOLD} then
    redis.call('XTRIM', KEYS[2], 'MINID', '=', text(math.max(0, now - ARGV[3])))
    if redis.call('XLEN', KEYS[2]) >= ${MAX_TOLD} then
      return redis.error_reply('FULL too many messages between nodes within a minute')
    end
  end
  local id
  if behind == 0 then id = redis.call('XADD', KEYS[2], '*', 'm', message)
  else id = redis.call('XADD', KEYS[2], text(now) .. '-*', 'm', message, 'behind', text(behind)) end
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  local before = last and label .. last[1] or label
  message = '=' .. label .. id .. ' ' .. before .. '\\n' .. message
end
return redis.call('SPUBLISH', KEYS[1], message)
`)

/**
 * Reads the messages since a node's last read, and a mark of the data: another mark means that the data was lost. A
 * server that has older messages but not the last one that the node has took the place of another, before it had
 * everything: by its clock it may have given newer messages lower ids, so all of them are read.
 *
 * KEYS  1 mark, then kept messages (streams)
 * ARGV  1 candidate mark, 2 most messages of each, then of each 3 '(' and the id of the last message that it has, '-'
 *       for none
 * Reply {mark, server time in ms, {id, message, id, message, ...} of each}
 */
export const TOLD = script(3, CLOCK + `
local mark = redis.call('GET', KEYS[1])
if not mark then
  mark = ARGV[1]
  redis.call('SET', KEYS[1], mark)
end
local reply = { mark, text(millis()) }
for i = 2, #KEYS do
  local from = ARGV[i + 1]
  local top = string.match(from, '^%((.+)$')
  if top and #redis.call('XRANGE', KEYS[i], top, top) == 0 then
    if #redis.call('XRANGE', KEYS[i], '-', top, 'COUNT', 1) > 0 then from = '-' end
  end
  local some = {}
  for _, entry in ipairs(redis.call('XRANGE', KEYS[i], from, '+', 'COUNT', ARGV[2])) do
    some[#some + 1] = entry[1]
    some[#some + 1] = entry[2][2]
  end
  reply[#reply + 1] = some
end
return reply
`)
