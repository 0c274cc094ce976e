import { change, CLOCK, FAILURE, LATE, PROLONG, script } from './script.js'
import { DAY, MAX_LATEST } from '../../../retention/bounds.js'
import { HELD } from '../../broker/nodes.js'

/** Milliseconds that the metadata of a room that never had an event is kept. */
const UNUSED = 300_000
/** Former epochs that are remembered, so that all clients can resume after as many restarts in a row. */
const MAX_BEFORE = 4
/**
 * Taken off the version of a removal for its place in the order, so that removals stand before all values and give way
 * first. Versions are microseconds, and both are exact as doubles.
 */
const REMOVED = 4e15
/** Events that are read from a stream at a time, where only a number of bytes is wanted. */
const AT_A_TIME = 16

/**
 * open(meta, stream, run, candidate, seen) -> epoch, offset, before, at: returns the room's metadata, and makes it when
 * there is none.
 *
 * A server that came back with older data would use offsets twice under one epoch. So the run id of the server is kept
 * beside them: under another run id a new epoch begins, the offsets continue, and the old epoch and its top are put in
 * front of `before`.
 *
 * The data alone cannot tell either that something is missing at its end. So callers say what they have `seen`:
 * `<epoch> <at> <top>`, an epoch, when it began, and the highest offset in it. What was seen and is missing here is
 * lost: then the pair of that epoch and all before it are marked (`<epoch>! <top>`), because readers that stand there
 * have missed events. Data older than an epoch that was seen begins a new epoch too, under whatever run id.
 *
 * The newest version of a `latest` value at the beginning of an epoch is its `floor`: values up to it may be older than
 * others that were lost, those above it were set since.
 *
 * `at` is the server time in ms at which the epoch began, above that of all before it. An empty run means that the
 * caller does not know which server this is (a cluster); then the server is asked, which takes 4 us.
 */
const OPEN = PROLONG + `
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
    local version = redis.call('HGET', meta, 'version')
    if version then redis.call('HSET', meta, 'floor', version) end
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
 * KEYS  1 meta (hash: epoch, offset, run, before, at, version, floor), 2 stream, 3 channel, 4 key of the publication,
 *       5 latest (hash), 6 latest order (zset)
 * ARGV  1 run id of this server or '', 2 candidate epoch, 3 kind: r kept with an offset, l latest value, x removal of
 *       one, v live only, 4 size, of a removal the version of the value or '' for any, 5 ttl in ms, 6 payload,
 *       7 milliseconds that the key of the publication is kept, '' for none, 8 origin, 9 field of the latest value,
 *       10 what the caller has seen, 11 the newest version that it has seen, 12 deadline
 * Reply {epoch, offset, receivers, at} for r, {version, receivers} for l, {receivers} for v;
 *       {'kept'} for x when the value has another version;
 *       {'once', '<origin>\n<epoch> <offset> <at>' or '<origin>\n-'} when the key has been used;
 *       error EXPIRED after the deadline
 *
 * The key is looked up before the deadline is checked: a caller that has lost an answer asks again, however late, and
 * learns whether the publication ran. It is kept as soon as the event is: where the script fails behind that, since a
 * right is missing, the event is found, and is there once. The stream's ids are <offset>-<server time in ms>, which
 * gives a range by offset and the age of each entry.
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
local reply
local function remember (position)
  if keep ~= '' then redis.call('SET', KEYS[4], ARGV[8] .. '\\n' .. position, 'PX', keep) end
end
if kind == 'r' then
  local epoch, offset, _, at = open(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[10])
  offset = text(offset + 1)
  at = text(at)
  redis.call('HSET', KEYS[1], 'offset', offset)
  prolong(KEYS[1], math.max(${DAY}, ARGV[5]))
  redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[4], offset .. '-' .. text(math.floor(now / 1000)), 'e', payload)
  remember(epoch .. ' ' .. offset .. ' ' .. at)
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
  local receivers = redis.call('SPUBLISH', KEYS[3], 'r ' .. epoch .. ' ' .. offset .. '\\n' .. payload)
  reply = { epoch, offset, receivers, at }
elseif kind == 'l' or kind == 'x' then
  local isRemoval = kind == 'x'
  if isRemoval and ARGV[4] ~= '' then
    local known = redis.call('HGET', KEYS[5], ARGV[9])
    if not known or string.match(known, '^%d+') ~= ARGV[4] then return { 'kept' } end
  end
  open(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[10])
  local version = text(math.max(tonumber(redis.call('HGET', KEYS[1], 'version') or '0') + 1, tonumber(ARGV[11]) + 1, now))
  redis.call('HSET', KEYS[1], 'version', version)
  prolong(KEYS[1], math.max(${DAY}, ARGV[5]))
  redis.call('HSET', KEYS[5], ARGV[9], version .. ' ' .. text(math.floor(now / 1000) + ARGV[5]) .. '\\n' .. payload)
  remember('-')
  redis.call('ZADD', KEYS[6], isRemoval and text(version - ${REMOVED}) or version, ARGV[9])
  if redis.call('ZCARD', KEYS[6]) > ${MAX_LATEST} then
    redis.call('HDEL', KEYS[5], redis.call('ZPOPMIN', KEYS[6])[1])
  end
  redis.call('PEXPIRE', KEYS[5], ARGV[5])
  redis.call('PEXPIRE', KEYS[6], ARGV[5])
  reply = { version, redis.call('SPUBLISH', KEYS[3], 'l ' .. version .. '\\n' .. payload) }
else
  reply = { redis.call('SPUBLISH', KEYS[3], 'v\\n' .. payload) }
  remember('-')
end
return reply
`, true)

/**
 * Clears a room's stream. The clear has an offset of its own, below which no position is honoured from then on: it is
 * where the retained events begin.
 *
 * KEYS  1 meta, 2 stream, 3 channel
 * ARGV  1 run, 2 candidate epoch, 3 what the caller has seen, 4 deadline
 * Reply {epoch, offset, at}
 */
export const CLEAR = change(3, CLOCK + OPEN + `
local epoch, offset, _, at = open(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3])
offset = text(offset + 1)
redis.call('HSET', KEYS[1], 'offset', offset)
prolong(KEYS[1], ${DAY})
redis.call('UNLINK', KEYS[2])
redis.call('SPUBLISH', KEYS[3], 'c ' .. epoch .. ' ' .. offset)
return { epoch, offset, text(at) }
`)

/**
 * Reads where rooms stand, and keeps their metadata alive: for a day, or for minutes where a room never had an event,
 * because a client that keeps entering new rooms would leave as many keys. A server that refuses to write tells where
 * they stand all the same. Of rooms in which this node holds presence it also tells whether that is complete. A room
 * that cannot be read keeps none of the others from being read.
 *
 * KEYS  of each room 1 meta, 2 stream, 3 presence meta, 4 entries, 5 counts, 6 users, 7 nodes
 * ARGV  1 run, 2 milliseconds until the position is read again while the room has members, then per room:
 *       3 candidate epoch, '' where nothing is kept of it, 4 what the caller has seen, 5 '1' where it holds presence
 * Reply per room {epoch, offset, at, presence: '' complete, 's' something has expired, 'm' something is missing,
 *       the newest version of its `latest` values or ''}; the last is the error of one that cannot be read
 */
export const POSITIONS = script(7, CLOCK + OPEN + FAILURE + `
local function place (key, arg)
  local epoch, offset, _, at, state = '', 0, '', 0, ''
  if ARGV[arg + 1] ~= '' then
    epoch, offset, _, at = open(KEYS[key + 1], KEYS[key + 2], ARGV[1], ARGV[arg + 1], ARGV[arg + 2])
    local isUnused = offset == 0 and redis.call('HEXISTS', KEYS[key + 1], 'version') == 0
    prolong(KEYS[key + 1], isUnused and math.max(${UNUSED}, ARGV[2] * 3) or ${DAY})
  end
  if ARGV[arg + 3] == '1' then
    -- A node that has held anew what it holds has made the keys again, without what the others hold.
    local isLost = redis.call('EXISTS', KEYS[key + 4], KEYS[key + 5], KEYS[key + 6]) < 3 or
      redis.call('HLEN', KEYS[key + 5]) ~= redis.call('HLEN', KEYS[key + 6]) or
      redis.call('HLEN', KEYS[key + 7]) < redis.call('ZCOUNT', KEYS[key + 4], text(millis() + ${HELD / 2}), '+inf')
    if isLost then state = 'm'
    elseif redis.call('HEXISTS', KEYS[key + 3], 'repair') == 1 or redis.call('ZCOUNT', KEYS[key + 4], '-inf', text(millis())) > 0 then state = 's' end
  end
  return { epoch, text(offset), text(at), state, redis.call('HGET', KEYS[key + 1], 'version') or '' }
end
local reply = {}
for i = 1, #KEYS / 7 do
  local isRead, fields = pcall(place, (i - 1) * 7, 2 + (i - 1) * 3)
  if not isRead then fields = { '', '0', '0', '', failure(fields) } end
  for _, field in ipairs(fields) do reply[#reply + 1] = field end
end
return reply
`)

/**
 * Reads retained events, after dropping those past their time: with one search and one trim, whatever their number.
 * A server that refuses to write keeps those for now, and gives the others.
 *
 * KEYS  1 meta, 2 stream
 * ARGV  1 run, 2 candidate epoch, 3 offset after which to read or '' for the newest, 4 most events, 5 ttl in ms,
 *       6 '1' if the room has members: a mere reader leaves nothing behind where there is nothing,
 *       7 what the caller has seen, 8 bytes of payloads after which the page ends, with one event at least: they are
 *       read a few at a time, so that no more is taken out of the stream than is answered
 * Reply {epoch, offset, before, floor, at, age of the epoch in ms, '1' if the bytes ended it, id, payload, id, payload,
 *       ...}; oldest first
 */
export const READ = script(2, CLOCK + OPEN + `
if ARGV[6] ~= '1' and redis.call('EXISTS', KEYS[1]) == 0 then return { ARGV[2], '0', '', '0', '0', '0', '' } end
local epoch, offset, before, at = open(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[7])
if offset > 0 then prolong(KEYS[1], math.max(${DAY}, ARGV[5])) end
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
    redis.pcall('XTRIM', KEYS[2], 'MINID', '=', text(kept))
  else redis.pcall('UNLINK', KEYS[2]) end
end
local most, budget = tonumber(ARGV[4]), tonumber(ARGV[8])
local from = math.max(floor, ARGV[3] ~= '' and tonumber(ARGV[3]) or 0) + 1
if ARGV[3] == '' and most > 0 then
  local length = redis.call('XLEN', KEYS[2])
  if length > most then
    -- After data were lost the numbers may have a hole: then the newest are counted.
    if length == offset - floor then from = offset - most + 1
    else
      local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', most)
      from = math.max(from, tonumber(string.match(newest[#newest][1], '^%d+')))
    end
  end
end
from = text(from) .. '-0'
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
 * Reads the current values in the order in which they were set.
 *
 * KEYS  1 latest, 2 latest order
 * Reply {server time in ms, '<version> <end in ms>\n<payload>', ...}
 */
export const LATEST = script(2, CLOCK + `
local fields = redis.call('ZRANGE', KEYS[2], 0, -1)
local now = millis()
local reply = { text(now) }
if #fields == 0 then return reply end
for _, value in ipairs(redis.call('HMGET', KEYS[1], unpack(fields))) do
  if value and tonumber(string.match(value, '^%d+ (%d+)')) > now then reply[#reply + 1] = value end
end
return reply
`)

/**
 * Puts back values that a node shows and that are missing or older here, because they were lost. A value that was set
 * since the loss is newer than they are, whatever its version says: it gets one above all that the node has seen. What
 * was put back bears the mark ` o`, so that what another node knows better still takes its place. All are sent to all
 * nodes. Where the room is full of values, the rest stays away.
 *
 * KEYS  1 meta, 2 stream, 3 channel, 4 latest, 5 latest order
 * ARGV  1 run, 2 candidate epoch, 3 what the caller has seen, 4 the newest version that it has seen, then per value:
 *       5 field, 6 version, 7 milliseconds that it is kept, 8 '1' for a removal, 9 payload; last the deadline
 */
export const PUT_BACK = change(5, CLOCK + OPEN + `
open(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3])
local known = redis.call('HMGET', KEYS[1], 'version', 'floor')
local version, floor = math.max(tonumber(known[1] or '0'), tonumber(ARGV[4])), tonumber(known[2] or '0')
local now = millis()
local function put (field, number, rest, isRemoval, payload)
  redis.call('HSET', KEYS[4], field, number .. rest .. '\\n' .. payload)
  redis.call('ZADD', KEYS[5], isRemoval and text(number - ${REMOVED}) or number, field)
  redis.call('SPUBLISH', KEYS[3], 'l ' .. number .. '\\n' .. payload)
end
for i = 5, #ARGV, 5 do
  local field, mine, left, isRemoval, payload = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3] == '1', ARGV[i + 4]
  local value = redis.call('HGET', KEYS[4], field)
  local theirs, rest, body
  if value then theirs, rest, body = string.match(value, '^(%d+)([^\\n]*)\\n(.*)$') end
  local isOlder = theirs and tonumber(theirs) < tonumber(mine)
  if isOlder and tonumber(theirs) > floor and not string.find(rest, ' o', 1, true) then
    version = version + 1
    put(field, text(version), rest, tonumber(redis.call('ZSCORE', KEYS[5], field) or '0') < 0, body)
  elseif left > 0 and (isOlder or (not theirs and redis.call('ZCARD', KEYS[5]) < ${MAX_LATEST})) then
    put(field, mine, ' ' .. text(now + left) .. ' o', isRemoval, payload)
    for _, key in ipairs({ KEYS[4], KEYS[5] }) do
      if redis.call('PTTL', key) < left then redis.call('PEXPIRE', key, text(left)) end
    end
  end
end
redis.call('HSET', KEYS[1], 'version', text(version))
prolong(KEYS[1], ${DAY})
return 1
`)
