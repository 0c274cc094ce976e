import { createHash } from 'node:crypto'

/** A Lua script: run as one atomic step on the shard of its keys, all of which carry the hash tag of one room (or of one key). */
export interface Script {
  readonly lua: string
  readonly sha: string
  readonly keys: number
}

function script (keys: number, lua: string): Script {
  return { lua, keys, sha: createHash('sha1').update(lua).digest('hex') }
}

/** Milliseconds that a room's metadata outlives its last use. */
const DAY = 86_400_000
/** The same of a room that never had an event. */
const UNUSED = 300_000
/** Former epochs that are remembered, so that that many restarts in a row resume everybody. */
const MAX_BEFORE = 4
/** Values of `latest` keys in one room. */
const MAX_LATEST = 1_000

/** Server time; in microseconds where order matters. */
const CLOCK = `
local function micros () local t = redis.call('TIME') return t[1] * 1000000 + t[2] end
local function millis () return math.floor(micros() / 1000) end
local function text (number) return string.format('%.0f', number) end
`

/**
 * open(meta, stream, run, candidate) -> epoch, offset, before: the room's metadata, born when there is none.
 *
 * A server that restarted with older data would use offsets twice under one epoch. So the run id of the server is kept beside them:
 * when it is another, a new epoch begins, the offsets go on, and the old epoch and its top are put in front of `before`.
 * An empty run means that the caller does not know which server this is (a cluster): the server is asked, 4 us.
 */
const OPEN = `
local function open (meta, stream, run, candidate)
  if run == '' then run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') end
  local known = redis.call('HMGET', meta, 'epoch', 'offset', 'run', 'before')
  local epoch, offset, before = known[1], tonumber(known[2] or '0'), known[4] or ''
  if not epoch then
    redis.call('DEL', stream)
    redis.call('HSET', meta, 'epoch', candidate, 'offset', 0, 'run', run)
    epoch = candidate
  elseif known[3] ~= run then
    local pairs = { epoch .. ' ' .. text(offset) }
    for pair in string.gmatch(before, '%S+ %S+') do
      if #pairs < ${MAX_BEFORE} then pairs[#pairs + 1] = pair end
    end
    before = table.concat(pairs, ' ')
    redis.call('HSET', meta, 'epoch', candidate, 'run', run, 'before', before)
    epoch = candidate
  end
  return epoch, offset, before
end
`

/**
 * Accepts one event.
 *
 * KEYS  1 meta (hash: epoch, offset, run, before, version), 2 stream, 3 channel, 4 idempotency key, 5 latest (hash), 6 latest order (zset)
 * ARGV  1 run id of this server or '', 2 candidate epoch, 3 server time in ms after which nothing is to be done any more, 0 for never,
 *       4 kind: r kept with an offset, l latest value, v live only, 5 size, 6 ttl in ms, 7 payload, 8 idempotency window in ms or '',
 *       9 origin if this is sent a second time after its connection broke, else '', 10 field of the latest value
 * Reply {epoch, offset, receivers} for r, {version, receivers} for l, {receivers} for v; {'once', '<epoch> <offset>' or '-'} for a
 *       repeated idempotency key; error EXPIRED after the deadline, so that what was refused to the caller is never published later
 *
 * The stream's ids are <offset>-<server time in ms>: a range by offset, the age of each entry beside it.
 */
export const PUBLISH = script(6, CLOCK + OPEN + `
local now = micros()
local deadline = tonumber(ARGV[3])
if deadline > 0 and now > deadline * 1000 then return redis.error_reply('EXPIRED the caller has given up') end
local hasKey = ARGV[8] ~= ''
if hasKey then
  local first = redis.call('GET', KEYS[4])
  if first then return { 'once', first } end
end
local kind, payload = ARGV[4], ARGV[7]
local reply, position
if kind == 'r' then
  local epoch, offset = open(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
  if ARGV[9] ~= '' then
    local origin = ARGV[9] .. '\\n'
    for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 256)) do
      if string.sub(entry[2][2], 1, #origin) == origin then
        return { epoch, string.match(entry[1], '^%d+'), 0 }
      end
    end
  end
  offset = text(offset + 1)
  redis.call('HSET', KEYS[1], 'offset', offset)
  redis.call('PEXPIRE', KEYS[1], ${DAY})
  redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[5], offset .. '-' .. text(math.floor(now / 1000)), 'e', payload)
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
  local receivers = redis.call('SPUBLISH', KEYS[3], 'r ' .. epoch .. ' ' .. offset .. '\\n' .. payload)
  reply, position = { epoch, offset, receivers }, epoch .. ' ' .. offset
elseif kind == 'l' then
  local version = math.max(tonumber(redis.call('HGET', KEYS[1], 'version') or '0') + 1, now)
  version = text(version)
  open(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
  redis.call('HSET', KEYS[1], 'version', version)
  redis.call('PEXPIRE', KEYS[1], ${DAY})
  redis.call('HSET', KEYS[5], ARGV[10], version .. ' ' .. text(math.floor(now / 1000) + ARGV[6]) .. '\\n' .. payload)
  redis.call('ZADD', KEYS[6], version, ARGV[10])
  if redis.call('ZCARD', KEYS[6]) > ${MAX_LATEST} then
    redis.call('HDEL', KEYS[5], redis.call('ZPOPMIN', KEYS[6])[1])
  end
  redis.call('PEXPIRE', KEYS[5], ARGV[6])
  redis.call('PEXPIRE', KEYS[6], ARGV[6])
  reply = { version, redis.call('SPUBLISH', KEYS[3], 'l ' .. version .. '\\n' .. payload) }
else
  reply = { redis.call('SPUBLISH', KEYS[3], 'v\\n' .. payload) }
end
if hasKey then redis.call('SET', KEYS[4], position or '-', 'PX', ARGV[8]) end
return reply
`)

/**
 * Where a room stands; keeps its metadata alive: for a day, or where it never had an event for minutes, since whoever enters ever new
 * rooms would leave that many keys.
 *
 * KEYS  1 meta, 2 stream
 * ARGV  1 run, 2 candidate epoch, 3 milliseconds until the position is asked again while the room has members
 * Reply {epoch, offset}
 */
export const POSITION = script(2, CLOCK + OPEN + `
local epoch, offset = open(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local isUnused = offset == 0 and redis.call('HEXISTS', KEYS[1], 'version') == 0
redis.call('PEXPIRE', KEYS[1], isUnused and math.max(${UNUSED}, ARGV[3] * 3) or ${DAY})
return { epoch, text(offset) }
`)

/**
 * Reads retained events, after dropping those past their time.
 *
 * KEYS  1 meta, 2 stream
 * ARGV  1 run, 2 candidate epoch, 3 offset after which to read or '' for the newest, 4 most events, 5 ttl in ms, 6 '1' if somebody is
 *       in the room: a mere reader leaves nothing behind where there is nothing
 * Reply {epoch, offset, before, floor, id, payload, id, payload, ...}; newest first where the newest were asked
 */
export const READ = script(2, CLOCK + OPEN + `
if ARGV[6] ~= '1' and redis.call('EXISTS', KEYS[1]) == 0 then return { ARGV[2], '0', '', '0' } end
local epoch, offset, before = open(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
if offset > 0 then redis.call('PEXPIRE', KEYS[1], ${DAY}) end
local floor = offset
local oldest = millis() - ARGV[5]
while true do
  local entry = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not entry then break end
  local at, time = string.match(entry[1], '^(%d+)-(%d+)$')
  if tonumber(time) > oldest then floor = at - 1 break end
  redis.call('XTRIM', KEYS[2], 'MINID', '=', text(at + 1))
end
local entries
if ARGV[3] == '' then entries = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', ARGV[4])
else entries = redis.call('XRANGE', KEYS[2], text(ARGV[3] + 1) .. '-0', '+', 'COUNT', ARGV[4]) end
local reply = { epoch, text(offset), before, text(floor) }
for _, entry in ipairs(entries) do
  reply[#reply + 1] = entry[1]
  reply[#reply + 1] = entry[2][2]
end
return reply
`)

/**
 * Current values, oldest set first.
 *
 * KEYS  1 latest, 2 latest order
 * Reply {'<version> <end in ms>\n<payload>', ...}
 */
export const LATEST = script(2, CLOCK + `
local fields = redis.call('ZRANGE', KEYS[2], 0, -1)
if #fields == 0 then return {} end
local now = millis()
local reply = {}
for _, value in ipairs(redis.call('HMGET', KEYS[1], unpack(fields))) do
  if value and tonumber(string.match(value, '^%d+ (%d+)')) > now then reply[#reply + 1] = value end
end
return reply
`)

/**
 * Presence of a room: a set of entries `<connection>\n<user>`, made by `keyOf`, by the server time at which each runs out, and per user the number of
 * its entries and what it shows. The sequence counts the announced changes; after a restart of the server or a loss of its data it
 * jumps to the clock, which is above anything that a peer can know, so that peers see a hole and ask.
 *
 * bump() -> the next sequence. announce(joined, left) sends a change, both lists as JSON texts.
 * sweep() removes what has run out and announces it, at most 1 000 entries at a time.
 */
const PRESENCE = CLOCK + `
local meta, entries, counts, users, channel = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local function bump ()
  local run = ARGV[1]
  if run == '' then run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') end
  local known = redis.call('HMGET', meta, 'sequence', 'run')
  local sequence = tonumber(known[1] or '0') + 1
  if known[2] ~= run then sequence = math.max(sequence, micros()) end
  redis.call('HSET', meta, 'sequence', text(sequence), 'run', run)
  return text(sequence)
end
local function announce (joined, left)
  local change = '{"sequence":' .. bump() .. ',"joined":[' .. table.concat(joined, ',') .. '],"left":[' .. table.concat(left, ',') .. ']}'
  redis.call('SPUBLISH', channel, 'p\\n' .. change)
end
local function remove (entry, left)
  if redis.call('ZREM', entries, entry) == 0 then return end
  local user = string.sub(entry, string.find(entry, '\\n', 1, true) + 1)
  if redis.call('HINCRBY', counts, user, -1) > 0 then return end
  redis.call('HDEL', counts, user)
  left[#left + 1] = redis.call('HGET', users, user) or nil
  redis.call('HDEL', users, user)
end
local function sweep ()
  local left = {}
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', entries, '-inf', text(millis()), 'LIMIT', 0, 1000)) do remove(entry, left) end
  if #left > 0 then announce({}, left) end
end
local function keep () for _, key in ipairs({ meta, entries, counts, users }) do redis.call('PEXPIRE', key, ${DAY}) end end
`

/**
 * Adds or renews entries of one room.
 *
 * KEYS  1 presence meta (hash: sequence, run), 2 entries (zset), 3 counts (hash), 4 users (hash), 5 channel
 * ARGV  1 run, 2 lease in ms, then per entry: 3 connection and 4 user as parts of a key, 5 JSON of {userId, data}
 * Reply number of users that joined
 */
export const PRESENCE_JOIN = script(5, PRESENCE + `
local joined = {}
local till = text(millis() + ARGV[2])
for i = 3, #ARGV, 3 do
  local user = ARGV[i + 1]
  if redis.call('ZADD', entries, till, ARGV[i] .. '\\n' .. user) == 1 and redis.call('HINCRBY', counts, user, 1) == 1 then
    redis.call('HSET', users, user, ARGV[i + 2])
    joined[#joined + 1] = ARGV[i + 2]
  end
end
if #joined > 0 then announce(joined, {}) end
keep()
return #joined
`)

/**
 * Lets an entry run out.
 *
 * KEYS  as PRESENCE_JOIN
 * ARGV  1 run, 2 grace in ms, 3 connection, 4 user
 */
export const PRESENCE_LEAVE = script(5, PRESENCE + `
local entry = ARGV[3] .. '\\n' .. ARGV[4]
if tonumber(ARGV[2]) > 0 then
  redis.call('ZADD', entries, 'XX', text(millis() + ARGV[2]), entry)
  return 0
end
local left = {}
remove(entry, left)
if #left > 0 then announce({}, left) end
return #left
`)

/**
 * Removes what has run out, then tells who is there.
 *
 * KEYS  as PRESENCE_JOIN
 * ARGV  1 run, 2 most users in a list, -1 for a sweep alone, 3 '1' to leave what has run out alone
 * Reply {sequence, total, JSON, JSON, ...}; nothing for a sweep
 */
export const PRESENCE_LOOK = script(5, PRESENCE + `
if ARGV[3] ~= '1' then sweep() end
local limit = tonumber(ARGV[2])
if limit < 0 then return {} end
if not redis.call('HGET', meta, 'sequence') then
  bump()
  keep()
end
local total = redis.call('HLEN', users)
local reply = { redis.call('HGET', meta, 'sequence'), total }
if total <= limit then for _, user in ipairs(redis.call('HVALS', users)) do reply[#reply + 1] = user end end
return reply
`)

/**
 * Takes one of a bounded number of slots.
 *
 * KEYS  1 lease (zset of holders by the server time at which each runs out)
 * ARGV  1 holder, 2 limit, 3 ttl in ms
 * Reply 1 taken or renewed, 0 all are taken
 */
export const LEASE_ACQUIRE = script(1, CLOCK + `
local now = millis()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], text(now + ARGV[3]), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
`)

/**
 * Renews slots; one that is missing is taken again whatever the limit.
 *
 * KEYS  1 lease
 * ARGV  1 ttl in ms, 2... holders
 */
export const LEASE_RENEW = script(1, CLOCK + `
local till = text(millis() + ARGV[1])
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], till, ARGV[i]) end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
`)

/**
 * KEYS  1 lease
 * Reply slots taken now
 */
export const LEASE_COUNT = script(1, CLOCK + `
return redis.call('ZCOUNT', KEYS[1], '(' .. text(millis()), '+inf')
`)

/**
 * Claims a message id: a string '<hash>\n' while its handler runs, '<hash>\n<outcome>' afterwards.
 *
 * KEYS  1 claim
 * ARGV  1 hash, 2 lease in ms
 * Reply {'claimed'}, {'conflict'}, {'settled', outcome} or {'running', ms left}
 */
export const CLAIM = script(1, `
local known = redis.call('GET', KEYS[1])
if not known then
  redis.call('SET', KEYS[1], ARGV[1] .. '\\n', 'PX', ARGV[2])
  return { 'claimed' }
end
local at = string.find(known, '\\n', 1, true)
if string.sub(known, 1, at - 1) ~= ARGV[1] then return { 'conflict' } end
if at < #known then return { 'settled', string.sub(known, at + 1) } end
return { 'running', redis.call('PTTL', KEYS[1]) }
`)

/**
 * Stores the outcome of a claim, or gives it back; a claim that has meanwhile been taken for other content is left alone.
 *
 * KEYS  1 claim
 * ARGV  1 hash, 2 outcome or '' to give back, 3 ttl in ms
 */
export const SETTLE = script(1, `
local known = redis.call('GET', KEYS[1])
if known and string.sub(known, 1, #ARGV[1] + 1) ~= ARGV[1] .. '\\n' then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], ARGV[1] .. '\\n' .. ARGV[2], 'PX', ARGV[3]) end
return 1
`)

/**
 * Keeps a subject out until a time, never shorter than said before.
 *
 * KEYS  1 denial
 * ARGV  1 Unix time in ms
 */
export const DENY = script(1, `
local known = tonumber(redis.call('GET', KEYS[1]) or '0')
if known < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[1]) end
return 1
`)
