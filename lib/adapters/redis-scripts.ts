import { createHash } from 'node:crypto'
import { HELD, MAX_NODES, REMEMBERED } from './nodes.js'

/** A Lua script: run as one atomic step on the shard of its keys, all of which carry the hash tag of one room (or of one key). */
export interface Script {
  readonly lua: string
  readonly sha: string
  /** keys of one item; a script for many is given those of all of them, one after the other */
  readonly keys: number
  /** its last argument is the server time in ms after which it does nothing any more, 0 for never */
  readonly isBounded: boolean
}

function script (keys: number, lua: string, isBounded = false): Script {
  return { lua, keys, isBounded, sha: createHash('sha1').update(lua).digest('hex') }
}

/**
 * A script that changes something. What its caller has given up must not happen later: a client, a proxy or a server that stood still may
 * hold a command for as long as it likes.
 */
function change (keys: number, lua: string): Script {
  return script(keys, DEADLINE + lua, true)
}

/** Milliseconds that a room's metadata outlives its last use. */
const DAY = 86_400_000
/** The same of a room that never had an event. */
const UNUSED = 300_000
/** Former epochs that are remembered, so that that many restarts in a row resume everybody. */
const MAX_BEFORE = 4
/** Changes of a room's presence that are kept for nodes that could not hear them, and for how long, milliseconds. */
const MAX_CHANGES = 64
const CHANGES_TTL = 600_000
/** Milliseconds that who is shown without an entry is given to be renewed. */
const LEASE = 60_000
/** Messages between nodes that are kept for those that cannot hear them now. */
const MAX_TOLD = 10_000
/** Events that are taken out of a stream at a time, where only so many bytes are wanted. */
const AT_A_TIME = 16
/** Values of `latest` keys in one room. */
const MAX_LATEST = 1_000

/** isLate(): the deadline is past; error EXPIRED. It is taken off the arguments, so that lists may end them. */
const LATE = `
local deadline = tonumber(table.remove(ARGV))
local function isLate ()
  if deadline == 0 then return false end
  local t = redis.call('TIME')
  return t[1] * 1000 + t[2] / 1000 > deadline
end
local EXPIRED = 'EXPIRED the caller has given up'
`

const DEADLINE = LATE + `
if isLate() then return redis.error_reply(EXPIRED) end
`

/** Server time; in microseconds where order matters. */
const CLOCK = `
local function micros () local t = redis.call('TIME') return t[1] * 1000000 + t[2] end
local function millis () return math.floor(micros() / 1000) end
local function text (number) return string.format('%.0f', number) end
`

/**
 * What lives as long as its node is marked `<node> <ttl>`, and stands until HELD at the latest. parse(list) takes nodes that were not heard
 * of for a while, `<node> <time>` each; isDead(dead, mark, score, now) tells whether something is held by one of them, and was neither
 * taken nor its node heard of within its ttl.
 */
const DEAD = `
local function parse (list)
  local dead
  for node, at in string.gmatch(list, '(%S+) (%d+)') do
    dead = dead or {}
    dead[node] = tonumber(at)
  end
  return dead
end
local function isDead (dead, mark, score, now)
  local node, ttl = string.match(mark, '^(%S+) (%d+)$')
  local at = node and dead[node]
  return at ~= nil and math.max(at, tonumber(score) - ${HELD}) + tonumber(ttl) <= now
end
local function nodeOf (mark) return string.match(mark, '^%S+') end
`

/**
 * open(meta, stream, run, candidate, seen) -> epoch, offset, before, at: the room's metadata, born when there is none.
 *
 * A server that came back with older data would use offsets twice under one epoch. So the run id of the server is kept beside them: when
 * it is another, a new epoch begins, the offsets go on, and the old epoch and its top are put in front of `before`. Nor can the data tell
 * that something is missing at its end. So callers say what they have `seen`: `<epoch> <at> <top>`, an epoch, when it began, and the
 * highest offset in it. What was seen and is not here is lost: then the pair of that epoch and all before it are marked (`<epoch>! <top>`),
 * for who stands there misses something. Data older than an epoch that was seen is a new epoch, too, under whatever run id.
 * `at` is the server time in ms at which the epoch began, above that of all before it.
 * An empty run means that the caller does not know which server this is (a cluster): the server is asked, 4 us.
 */
const OPEN = `
local function open (meta, stream, run, candidate, seen)
  if run == '' then run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') end
  local known = redis.call('HMGET', meta, 'epoch', 'offset', 'run', 'before', 'at')
  local epoch, offset, before, at = known[1], tonumber(known[2] or '0'), known[4] or '', tonumber(known[5] or '0')
  local seenEpoch, seenAt, seenTop
  if seen ~= '' then seenEpoch, seenAt, seenTop = string.match(seen, '^(%S+) (%d+) (%d+)$') end
  if not epoch then
    at = math.max(millis(), tonumber(seenAt or '0') + 1)
    redis.call('DEL', stream)
    redis.call('HSET', meta, 'epoch', candidate, 'offset', 0, 'run', run, 'at', text(at))
    return candidate, 0, '', at
  end
  if known[3] == run and (not seenEpoch or (seenEpoch == epoch and tonumber(seenTop) <= offset)) then return epoch, offset, before, at end
  local pairs = { { epoch, '', text(offset) } }
  for name, mark, top in string.gmatch(before, '([^ !]+)(!?) (%d+)') do
    if #pairs < ${MAX_BEFORE} + 1 then pairs[#pairs + 1] = { name, mark, top } end
  end
  local from = #pairs + 1
  if seenEpoch then
    from = tonumber(seenAt) > at and 1 or 2
    for i, pair in ipairs(pairs) do
      if pair[1] == seenEpoch then from = tonumber(seenTop) > tonumber(pair[3]) and i or #pairs + 1 end
    end
  end
  for i = from, #pairs do pairs[i][2] = '!' end
  if known[3] ~= run or from == 1 then
    epoch, at = candidate, math.max(millis(), at + 1, tonumber(seenAt or '0') + 1)
  else table.remove(pairs, 1) end
  local list = {}
  for i = 1, math.min(#pairs, ${MAX_BEFORE}) do list[i] = pairs[i][1] .. pairs[i][2] .. ' ' .. pairs[i][3] end
  before = table.concat(list, ' ')
  redis.call('HSET', meta, 'epoch', epoch, 'run', run, 'before', before, 'at', text(at))
  return epoch, offset, before, at
end
`

/**
 * Accepts one event.
 *
 * KEYS  1 meta (hash: epoch, offset, run, before, at, version), 2 stream, 3 channel, 4 key of the publication, 5 latest (hash), 6 latest order (zset)
 * ARGV  1 run id of this server or '', 2 candidate epoch, 3 kind: r kept with an offset, l latest value, v live only, 4 size, 5 ttl in ms,
 *       6 payload, 7 milliseconds that the key of the publication is kept, '' for none, 8 origin, 9 field of the latest value, 10 what the caller has seen,
 *       11 deadline
 * Reply {epoch, offset, receivers, at} for r, {version, receivers} for l, {receivers} for v; {'once', '<origin>\n<epoch> <offset> <at>' or
 *       '<origin>\n-'} when the key has been used; error EXPIRED after the deadline
 *
 * The key is looked up before the deadline: a caller that has lost an answer asks again, however late, and is told whether it ran.
 * The stream's ids are <offset>-<server time in ms>: a range by offset, the age of each entry beside it.
 */
export const PUBLISH = script(6, LATE + CLOCK + OPEN + `
local keep = ARGV[7]
if keep ~= '' then
  local first = redis.call('GET', KEYS[4])
  if first then return { 'once', first } end
end
if isLate() then return redis.error_reply(EXPIRED) end
local now = micros()
local kind, payload = ARGV[3], ARGV[6]
local reply, position
if kind == 'r' then
  local epoch, offset, _, at = open(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[10])
  offset = text(offset + 1)
  at = text(at)
  redis.call('HSET', KEYS[1], 'offset', offset)
  redis.call('PEXPIRE', KEYS[1], ${DAY})
  redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[4], offset .. '-' .. text(math.floor(now / 1000)), 'e', payload)
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
  local receivers = redis.call('SPUBLISH', KEYS[3], 'r ' .. epoch .. ' ' .. offset .. '\\n' .. payload)
  reply, position = { epoch, offset, receivers, at }, epoch .. ' ' .. offset .. ' ' .. at
elseif kind == 'l' then
  local version = math.max(tonumber(redis.call('HGET', KEYS[1], 'version') or '0') + 1, now)
  version = text(version)
  open(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[10])
  redis.call('HSET', KEYS[1], 'version', version)
  redis.call('PEXPIRE', KEYS[1], ${DAY})
  redis.call('HSET', KEYS[5], ARGV[9], version .. ' ' .. text(math.floor(now / 1000) + ARGV[5]) .. '\\n' .. payload)
  redis.call('ZADD', KEYS[6], version, ARGV[9])
  if redis.call('ZCARD', KEYS[6]) > ${MAX_LATEST} then
    redis.call('HDEL', KEYS[5], redis.call('ZPOPMIN', KEYS[6])[1])
  end
  redis.call('PEXPIRE', KEYS[5], ARGV[5])
  redis.call('PEXPIRE', KEYS[6], ARGV[5])
  reply = { version, redis.call('SPUBLISH', KEYS[3], 'l ' .. version .. '\\n' .. payload) }
else
  reply = { redis.call('SPUBLISH', KEYS[3], 'v\\n' .. payload) }
end
if keep ~= '' then redis.call('SET', KEYS[4], ARGV[8] .. '\\n' .. (position or '-'), 'PX', keep) end
return reply
`, true)

/**
 * Where rooms stand; keeps their metadata alive: for a day, or where a room never had an event for minutes, since whoever enters ever new
 * rooms would leave that many keys. Of rooms in which this node holds presence it tells whether that is as it should be, too.
 *
 * KEYS  of each room 1 meta, 2 stream, 3 presence meta, 4 entries, 5 counts, 6 users
 * ARGV  1 run, 2 milliseconds until the position is asked again while the room has members, then per room: 3 candidate epoch, '' where
 *       nothing is kept of it, 4 what the caller has seen, 5 '1' where it holds presence
 * Reply per room {epoch, offset, at, presence: '' as it should be, 's' something has run out, 'm' keys are missing}
 */
export const POSITIONS = script(6, CLOCK + OPEN + `
local reply = {}
for i = 1, #KEYS / 6 do
  local key, arg = (i - 1) * 6, 2 + (i - 1) * 3
  local epoch, offset, _, at, state = '', 0, '', 0, ''
  if ARGV[arg + 1] ~= '' then
    epoch, offset, _, at = open(KEYS[key + 1], KEYS[key + 2], ARGV[1], ARGV[arg + 1], ARGV[arg + 2])
    local isUnused = offset == 0 and redis.call('HEXISTS', KEYS[key + 1], 'version') == 0
    redis.call('PEXPIRE', KEYS[key + 1], isUnused and math.max(${UNUSED}, ARGV[2] * 3) or ${DAY})
  end
  if ARGV[arg + 3] == '1' then
    if redis.call('EXISTS', KEYS[key + 4], KEYS[key + 5], KEYS[key + 6]) < 3 then state = 'm'
    elseif redis.call('HEXISTS', KEYS[key + 3], 'repair') == 1 or redis.call('ZCOUNT', KEYS[key + 4], '-inf', text(millis())) > 0 then state = 's' end
  end
  reply[#reply + 1] = epoch
  reply[#reply + 1] = text(offset)
  reply[#reply + 1] = text(at)
  reply[#reply + 1] = state
end
return reply
`)

/**
 * Reads retained events, after dropping those past their time: with one search and one trim, whatever their number.
 *
 * KEYS  1 meta, 2 stream
 * ARGV  1 run, 2 candidate epoch, 3 offset after which to read or '' for the newest, 4 most events, 5 ttl in ms, 6 '1' if somebody is
 *       in the room: a mere reader leaves nothing behind where there is nothing, 7 what the caller has seen, 8 bytes of payloads after
 *       which it ends, with one event at least: read a few at a time, so that no more is taken out of the stream than is answered
 * Reply {epoch, offset, before, floor, at, age of the epoch in ms, '1' if the bytes ended it, id, payload, id, payload, ...}; oldest first
 */
export const READ = script(2, CLOCK + OPEN + `
if ARGV[6] ~= '1' and redis.call('EXISTS', KEYS[1]) == 0 then return { ARGV[2], '0', '', '0', '0', '0', '' } end
local epoch, offset, before, at = open(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[7])
if offset > 0 then redis.call('PEXPIRE', KEYS[1], ${DAY}) end
local now = millis()
local oldest = now - ARGV[5]
local function first (from)
  local entry = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 1)[1]
  if not entry then return nil end
  local place, time = string.match(entry[1], '^(%d+)-(%d+)$')
  return tonumber(place), tonumber(time) > oldest
end
local floor = offset
local low, isFresh = first('-')
if low and isFresh then floor = low - 1
elseif low then
  local high = offset + 1
  while low + 1 < high do
    local middle = math.floor((low + high) / 2)
    local place, isKept = first(text(middle) .. '-0')
    if not place or isKept then high = middle else low = place end
  end
  local kept = first(text(low + 1) .. '-0')
  if kept then
    floor = kept - 1
    redis.call('XTRIM', KEYS[2], 'MINID', '=', text(kept))
  else redis.call('UNLINK', KEYS[2]) end
end
local most, budget = tonumber(ARGV[4]), tonumber(ARGV[8])
local from = '-'
if ARGV[3] ~= '' then from = text(ARGV[3] + 1) .. '-0'
elseif most > 0 then
  local length = redis.call('XLEN', KEYS[2])
  if length > most then
    -- After data were lost the numbers may have a hole: then the newest are counted.
    if length == offset - floor then from = text(offset - most + 1) .. '-0'
    else
      local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', most)
      from = newest[#newest][1]
    end
  end
end
local reply = { epoch, text(offset), before, text(floor), text(at), text(now - at), '' }
local count, bytes = 0, 0
while count < most do
  local entries = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', math.min(most - count, ${AT_A_TIME}))
  for _, entry in ipairs(entries) do
    bytes = bytes + #entry[2][2]
    if bytes > budget and count > 0 then
      reply[7] = '1'
      return reply
    end
    count = count + 1
    reply[#reply + 1] = entry[1]
    reply[#reply + 1] = entry[2][2]
  end
  if #entries < ${AT_A_TIME} then break end
  from = '(' .. entries[#entries][1]
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
 * bump() -> the next sequence. announce(joined, left) sends a change, both lists as JSON texts, and keeps the newest for nodes that
 * could not hear it. sweep() removes what has run out and announces it, at most 1 000 entries at a time; bury(dead, cursor) what dead nodes
 * held, at most some 1 000 at a time, and tells where to go on.
 *
 * A server under a policy that evicts takes any of the keys away. repair() makes them agree again: entries count, and who is shown without
 * one is given the time of a lease to be renewed before he has left.
 */
const PRESENCE = CLOCK + DEAD + `
local meta, entries, counts, users, changes, channel, nodes
local function use (first)
  meta, entries, counts, users, changes, channel, nodes = unpack(KEYS, first, first + 6)
end
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
  redis.call('LPUSH', changes, change)
  redis.call('LTRIM', changes, 0, ${MAX_CHANGES} - 1)
  redis.call('PEXPIRE', changes, ${CHANGES_TTL})
  redis.call('SPUBLISH', channel, 'p\\n' .. change)
end
local function remove (entry, left)
  if redis.call('ZREM', entries, entry) == 0 then return end
  redis.call('HDEL', nodes, entry)
  local user = string.sub(entry, string.find(entry, '\\n', 1, true) + 1)
  if redis.call('HINCRBY', counts, user, -1) > 0 then return end
  redis.call('HDEL', counts, user)
  left[#left + 1] = redis.call('HGET', users, user) or nil
  redis.call('HDEL', users, user)
end
local function repair (lease)
  local known = redis.call('EXISTS', entries) + redis.call('EXISTS', counts) * 2 + redis.call('EXISTS', users) * 4
  if known == 0 or known == 7 then return end
  redis.call('DEL', counts)
  for _, entry in ipairs(redis.call('ZRANGE', entries, 0, -1)) do
    redis.call('HINCRBY', counts, string.sub(entry, string.find(entry, '\\n', 1, true) + 1), 1)
  end
  redis.call('HSETNX', meta, 'repair', text(millis() + lease))
end
local function ghosts (left)
  local due = tonumber(redis.call('HGET', meta, 'repair') or 'inf')
  if due > millis() then return end
  redis.call('HDEL', meta, 'repair')
  for _, user in ipairs(redis.call('HKEYS', users)) do
    if redis.call('HEXISTS', counts, user) == 0 then
      left[#left + 1] = redis.call('HGET', users, user)
      redis.call('HDEL', users, user)
    end
  end
end
local function sweep ()
  local left = {}
  ghosts(left)
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', entries, '-inf', text(millis()), 'LIMIT', 0, 1000)) do remove(entry, left) end
  if #left > 0 then announce({}, left) end
end
local function bury (dead, cursor)
  local left, looked, now = {}, 0, millis()
  repeat
    local found = redis.call('HSCAN', nodes, cursor, 'COUNT', 200)
    cursor = found[1]
    for i = 1, #found[2], 2 do
      local entry = found[2][i]
      local score = redis.call('ZSCORE', entries, entry)
      if not score then redis.call('HDEL', nodes, entry)
      elseif isDead(dead, found[2][i + 1], score, now) then remove(entry, left) end
    end
    looked = looked + #found[2] / 2
  until cursor == '0' or looked >= 1000
  if #left > 0 then announce({}, left) end
  return cursor
end
local function keep () for _, key in ipairs({ meta, entries, counts, users, nodes }) do redis.call('PEXPIRE', key, ${DAY}) end end
`

/**
 * Adds or renews entries of one room.
 *
 * KEYS  1 presence meta (hash: sequence, run, repair), 2 entries (zset), 3 counts (hash), 4 users (hash), 5 newest changes (list), 6 channel,
 *       7 nodes (hash: mark by entry)
 * ARGV  1 run, 2 lease in ms, 3 mark or '', then per entry: 4 connection and 5 user as parts of a key, 6 JSON of {userId, data}; last the deadline
 * Reply number of users that joined
 */
export const PRESENCE_JOIN = change(7, PRESENCE + `
use(1)
local joined = {}
repair(ARGV[2])
local mark = ARGV[3]
local till = text(millis() + (mark == '' and ARGV[2] or ${HELD}))
for i = 4, #ARGV, 3 do
  local user = ARGV[i + 1]
  local entry = ARGV[i] .. '\\n' .. user
  if redis.call('ZADD', entries, till, entry) == 1 then redis.call('HINCRBY', counts, user, 1) end
  if mark == '' then redis.call('HDEL', nodes, entry) else redis.call('HSET', nodes, entry, mark) end
  if redis.call('HSETNX', users, user, ARGV[i + 2]) == 1 then joined[#joined + 1] = ARGV[i + 2] end
end
if #joined > 0 then announce(joined, {}) end
keep()
return #joined
`)

/**
 * Lets an entry run out. One that another node holds by now, under the same name, is left alone.
 *
 * KEYS  as PRESENCE_JOIN
 * ARGV  1 run, 2 grace in ms, 3 node, 4 connection, 5 user, 6 deadline
 */
export const PRESENCE_LEAVE = change(7, PRESENCE + `
use(1)
repair(${LEASE})
local entry = ARGV[4] .. '\\n' .. ARGV[5]
local mark = redis.call('HGET', nodes, entry)
if mark and nodeOf(mark) ~= ARGV[3] then return 0 end
if tonumber(ARGV[2]) > 0 then
  redis.call('ZADD', entries, 'XX', text(millis() + ARGV[2]), entry)
  redis.call('HDEL', nodes, entry)
  return 0
end
local left = {}
remove(entry, left)
if #left > 0 then announce({}, left) end
return #left
`)

/**
 * Removes what has run out and what dead nodes held, of many rooms.
 *
 * KEYS  of each room as PRESENCE_JOIN
 * ARGV  1 run, 2 dead nodes, 3 '1' to leave what has run out alone, then per room: 4 where to go on, '0' to begin
 * Reply per room where to go on, '0' for nowhere
 */
export const PRESENCE_SWEEP = script(7, PRESENCE + `
local dead, reply = parse(ARGV[2]), {}
for i = 1, #KEYS / 7 do
  use((i - 1) * 7 + 1)
  repair(${LEASE})
  if ARGV[3] ~= '1' then sweep() end
  reply[i] = dead and bury(dead, ARGV[3 + i]) or '0'
end
return reply
`)

/**
 * Removes what has run out, then tells who is there.
 *
 * KEYS  as PRESENCE_JOIN
 * ARGV  1 run, 2 most users in a list, 3 '1' to leave what has run out alone
 * Reply {sequence, total, JSON, JSON, ...}
 */
export const PRESENCE_LOOK = script(7, PRESENCE + `
use(1)
repair(${LEASE})
if ARGV[3] ~= '1' then sweep() end
local limit = tonumber(ARGV[2])
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
 * What a node missed that knows the changes up to a sequence.
 *
 * KEYS  as PRESENCE_JOIN
 * ARGV  1 the sequence
 * Reply {the newest sequence or '', change, change, ...}, newest change first; the changes that are kept, where one of them is missing
 */
export const PRESENCE_MISSED = script(7, `
local sequence = redis.call('HGET', KEYS[1], 'sequence')
if not sequence or tonumber(sequence) == tonumber(ARGV[1]) then return { sequence or '' } end
local reply = redis.call('LRANGE', KEYS[5], 0, -1)
table.insert(reply, 1, sequence)
return reply
`)

/**
 * Slots of one limit: holders by the server time at which each runs out, and beside it whose they are. expire() removes what has run out,
 * at most 1 000 at a time; bury() what dead nodes held.
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
local function take (holder, mark, ttl, now)
  redis.call('ZADD', holders, text(now + (mark == '' and ttl or ${HELD})), holder)
  if mark == '' then redis.call('HDEL', nodes, holder) else redis.call('HSET', nodes, holder, mark) end
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
 * ARGV  1 holder, 2 limit, 3 ttl in ms, 4 mark or '', 5 dead nodes, 6 deadline
 * Reply 1 taken or renewed, 0 all are taken
 */
export const LEASE_ACQUIRE = change(2, LEASES + `
use(1)
local now = millis()
expire(now)
local limit = tonumber(ARGV[2])
if redis.call('ZCARD', holders) >= limit and not redis.call('ZSCORE', holders, ARGV[1]) then
  local dead = parse(ARGV[5])
  if dead then bury(dead, now) end
  if redis.call('ZCARD', holders) >= limit then return 0 end
end
take(ARGV[1], ARGV[4], ARGV[3], now)
keep(ARGV[4] == '' and ARGV[3] or ${HELD})
return 1
`)

/**
 * Renews slots of many limits; one that is missing is taken again whatever the limit.
 *
 * KEYS  of each slot as LEASE_ACQUIRE
 * ARGV  1 ttl in ms, 2 mark or '', then per slot: 3 holder; last the deadline
 */
export const LEASE_RENEW = change(2, LEASES + `
local now = millis()
for i = 1, #KEYS / 2 do
  use((i - 1) * 2 + 1)
  take(ARGV[2 + i], ARGV[2], ARGV[1], now)
  keep(ARGV[2] == '' and ARGV[1] or ${HELD})
end
return 1
`)

/**
 * Gives a slot back, unless another node holds it by now under the same name.
 *
 * KEYS  as LEASE_ACQUIRE
 * ARGV  1 holder, 2 node, 3 deadline
 */
export const LEASE_RELEASE = change(2, LEASES + `
use(1)
local mark = redis.call('HGET', nodes, ARGV[1])
if not mark or nodeOf(mark) == ARGV[2] then remove(ARGV[1]) end
return 1
`)

/**
 * KEYS  as LEASE_ACQUIRE
 * ARGV  1 dead nodes
 * Reply slots taken now
 */
export const LEASE_COUNT = script(2, LEASES + `
use(1)
local now, dead = millis(), parse(ARGV[1])
if dead then bury(dead, now) end
return redis.call('ZCOUNT', holders, '(' .. text(now), '+inf')
`)

/**
 * One heartbeat of a node.
 *
 * KEYS  1 nodes (zset by the server time at which each was heard of last)
 * ARGV  1 node, 2 milliseconds for which it could not reach the server: whoever was heard of shortly before counts as heard of now, 3 how
 *       shortly, 4 deadline
 * Reply {now, when it was heard of before or '', node, time, node, time, ...}
 */
export const NODE_BEAT = change(1, CLOCK + `
local now = millis()
local before = redis.call('ZSCORE', KEYS[1], ARGV[1])
if tonumber(ARGV[2]) > 0 then
  for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], text(now - ARGV[2] - ARGV[3]), '+inf')) do redis.call('ZADD', KEYS[1], text(now), node) end
end
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
 * Claims a message id: a string '<hash>\n!<holder>' while its handler runs, '<hash>\n<outcome>' afterwards (an outcome is JSON).
 * A holder that claims what it holds has lost the answer to its claim, and is given it again.
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
 * Stores the outcome of a claim, or gives it back; a claim that has meanwhile been taken for other content is left alone.
 *
 * KEYS  1 claim
 * ARGV  1 hash, 2 outcome or '' to give back, 3 ttl in ms, 4 holder, '' for whoever holds it, 5 deadline
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
 * KEYS  1 value
 * ARGV  1 deadline
 * Reply the value, once
 */
export const TAKE = change(1, `
return redis.call('GETDEL', KEYS[1])
`)

/**
 * Keeps a subject out for a time, never shorter than said before.
 *
 * KEYS  1 denial
 * ARGV  1 milliseconds from now, 2 deadline
 */
export const DENY = change(1, CLOCK + `
local till = millis() + ARGV[1]
local known = tonumber(redis.call('GET', KEYS[1]) or '0')
if known < till then redis.call('SET', KEYS[1], text(till), 'PXAT', text(till)) end
return 1
`)

/**
 * Tells all nodes something; what must not be lost is kept for those that cannot hear it now.
 *
 * KEYS  1 channel, 2 what is kept (stream)
 * ARGV  1 message, 2 milliseconds that it is kept or '', 3 deadline
 */
export const TELL = change(2, CLOCK + `
if ARGV[2] ~= '' then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ${MAX_TOLD}, '*', 'm', ARGV[1])
  redis.call('XTRIM', KEYS[2], 'MINID', '~', text(math.max(0, millis() - ARGV[2])))
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return redis.call('SPUBLISH', KEYS[1], ARGV[1])
`)

/**
 * What was told since a node looked last, and a mark by which it knows the data again: another one means that the data was lost.
 *
 * KEYS  1 what is kept (stream), 2 mark
 * ARGV  1 id of the last that it has, '-' for none, 2 candidate mark, 3 most messages
 * Reply {mark, id, message, id, message, ...}
 */
export const TOLD = script(2, `
local mark = redis.call('GET', KEYS[2])
if not mark then
  mark = ARGV[2]
  redis.call('SET', KEYS[2], mark)
end
local reply = { mark }
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[3])) do
  reply[#reply + 1] = entry[1]
  reply[#reply + 1] = entry[2][2]
end
return reply
`)
