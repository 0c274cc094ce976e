import { HELD } from '../../broker/nodes.js'
import { change, CLOCK, DEAD, FAILURE, script } from './script.js'
import { DAY } from '../../../retention/bounds.js'

/** Changes of a room's presence that are kept for nodes that could not receive them, and for how many milliseconds. */
const MAX_CHANGES = 64
const CHANGES_TTL = 600_000
/** Milliseconds within which a user that is shown without an entry has to be renewed. */
const LEASE = 60_000

/**
 * Presence of a room: a set of entries `<connection>\n<user>`, made by `keyOf`, by the server time at which each
 * expires, and per user the number of its entries and what it shows. The sequence counts the announced changes; after a
 * restart of the server or a loss of its data it jumps to the clock, which is above anything that a peer can know, so
 * that peers see a hole and ask.
 *
 * bump() -> the next sequence. announce(joined, left, changed) sends a change, and keeps the newest for nodes that
 * could not receive it: two lists of JSON texts, and nil or a list of user and JSON text. Each of those is kept with
 * the number of the change as its last field `n`, which changedAt reads and bare takes away. sweep() removes what has
 * expired and announces it, at most 1 000 entries at a time. bury(dead, cursor) does so with what dead nodes held, at
 * most some 1 000 at a time, and returns where to continue.
 *
 * A server whose policy evicts may remove any of the keys. repair() makes them agree again: entries count, those that
 * were removed are known by their nodes, and a user that is shown without one has the time of a lease to be renewed
 * before it leaves. Who is there and is not shown is shown again when the entry is renewed. An entry that is known by
 * its node counts as taken a while ago, so that it ends with its node, and is renewed before it ends.
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
local function changedAt (json) return tonumber(string.match(json, ',"n":(%d+)}$') or '0') end
local function bare (json) return (string.gsub(json, ',"n":%d+}$', '}')) end
local function numbered (json, number) return string.sub(bare(json), 1, -2) .. ',"n":' .. number .. '}' end
local function announce (joined, left, changed)
  local lists = '"joined":[' .. table.concat(joined, ',') .. '],"left":[' .. table.concat(left, ',') .. ']'
  local sequence = bump()
  if changed then
    local texts = {}
    for i, each in ipairs(changed) do
      texts[i] = numbered(each[2], sequence)
      redis.call('HSET', users, each[1], texts[i])
    end
    lists = lists .. ',"changed":[' .. table.concat(texts, ',') .. ']'
  end
  local change = '{"sequence":' .. sequence .. ',' .. lists .. '}'
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
  if known % 2 == 0 then
    local till, marks = text(millis() + ${HELD * 2 / 3}), redis.call('HGETALL', nodes)
    for i = 1, #marks, 2 do
      if marks[i + 1] == NOBODY then redis.call('HDEL', nodes, marks[i])
      else redis.call('ZADD', entries, till, marks[i]) end
    end
  end
  redis.call('DEL', counts)
  for _, entry in ipairs(redis.call('ZRANGE', entries, 0, -1)) do
    redis.call('HINCRBY', counts, string.sub(entry, string.find(entry, '\\n', 1, true) + 1), 1)
  end
  for _, user in ipairs(redis.call('HKEYS', users)) do
    if redis.call('HEXISTS', counts, user) == 0 then
      redis.call('HSETNX', meta, 'repair', text(millis() + lease))
      return
    end
  end
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
 * KEYS  1 presence meta (hash: sequence, run, repair), 2 entries (zset), 3 counts (hash), 4 users (hash),
 *       5 newest changes (list), 6 channel, 7 nodes (hash: mark by entry)
 * ARGV  1 run, 2 lease in ms, 3 mark or '', then per entry: 4 connection and 5 user as parts of a key,
 *       6 JSON of {userId, data, n}, n where the data is from a change, 7 '' to take it, or when it was taken to renew
 *       it, 0 for unknown, 8 fence or '';
 *       last the deadline
 * Reply {when the last one was taken, '' without a mark; what is shown of its user, JSON of {userId, data, n}, if that
 *       was changed and is not what the entry says, else ''}
 */
export const PRESENCE_JOIN = change(7, PRESENCE + `
use(1)
local joined, changed = {}, {}
repair(math.max(ARGV[2], ${LEASE}))
local mark, taken, shown = ARGV[3], '', ''
local till = text(millis() + (mark == '' and ARGV[2] or ${HELD}))
for i = 4, #ARGV, 5 do
  local user, stamp = ARGV[i + 1], ARGV[i + 3]
  local entry = ARGV[i] .. '\\n' .. user
  local known = redis.call('HGET', nodes, entry)
  if mark == '' or stamp == '' or not isLater(known, nodeOf(mark), stamp, '') then
    local isShown = redis.call('HEXISTS', counts, user) == 1
    if redis.call('ZADD', entries, till, entry) == 1 then redis.call('HINCRBY', counts, user, 1) end
    if mark == '' then redis.call('HDEL', nodes, entry)
    else
      taken = (stamp == '' or stamp == '0') and text(nextStamp(known)) or stamp
      redis.call('HSET', nodes, entry, marked(mark, known, taken, ARGV[i + 4]))
    end
    local json, other = ARGV[i + 2], redis.call('HGET', users, user)
    shown = ''
    if not other and isShown then changed[#changed + 1] = { user, json }
    elseif not other then
      redis.call('HSET', users, user, json)
      joined[#joined + 1] = json
    elseif changedAt(json) > changedAt(other) then
      if bare(json) == bare(other) then redis.call('HSET', users, user, json)
      else changed[#changed + 1] = { user, json } end
    elseif bare(json) ~= bare(other) and changedAt(other) > 0 then shown = other end
  end
end
if #joined > 0 then announce(joined, {}) end
if #changed > 0 then announce({}, {}, changed) end
keep()
return { taken, shown }
`)

/**
 * Gives an entry an end. One that another node has taken since under the same name, or this one with a higher fence, is
 * left alone.
 *
 * KEYS  as PRESENCE_JOIN
 * ARGV  1 run, 2 grace in ms, 3 node, 4 connection, 5 user, 6 when this node took it, 7 fence or '' for any, 8 deadline
 */
export const PRESENCE_LEAVE = change(7, PRESENCE + `
use(1)
repair(${LEASE})
local entry = ARGV[4] .. '\\n' .. ARGV[5]
if isLater(redis.call('HGET', nodes, entry), ARGV[3], ARGV[6], ARGV[7]) then return 0 end
if tonumber(ARGV[2]) > 0 then
  local isThere = redis.call('ZSCORE', entries, entry)
  if isThere then redis.call('ZADD', entries, text(millis() + ARGV[2]), entry) end
  -- By its end it could be one of those that nodes hold, and each of these has a mark.
  if isThere and tonumber(ARGV[2]) > ${HELD / 2} then
    redis.call('HSET', nodes, entry, NOBODY)
    keep()
  else redis.call('HDEL', nodes, entry) end
  return 0
end
local left = {}
remove(entry, left)
if #left > 0 then announce({}, left) end
return #left
`)

/**
 * Ends entries of a user whose client has come back by another connection, whichever node holds them.
 *
 * KEYS  as PRESENCE_JOIN
 * ARGV  1 run, 2 node, 3 '1' where entries have no mark, 4 user, then 5 each former connection; last the deadline
 * Reply 1 where another node holds one of them, else 0
 */
export const PRESENCE_SUCCEED = change(7, PRESENCE + `
use(1)
repair(${LEASE})
local left, isElsewhere = {}, 0
for i = 5, #ARGV do
  local entry = ARGV[i] .. '\\n' .. ARGV[4]
  local mark = redis.call('HGET', nodes, entry)
  if mark and mark ~= NOBODY then
    if nodeOf(mark) ~= ARGV[2] then isElsewhere = 1 end
  elseif ARGV[3] == '1' and redis.call('ZSCORE', entries, entry) then isElsewhere = 1 end
  remove(entry, left)
end
if #left > 0 then announce({}, left) end
return isElsewhere
`)

/**
 * Shows a user who is there with other data.
 *
 * KEYS  as PRESENCE_JOIN
 * ARGV  1 run, 2 user as part of a key, 3 JSON of {userId, data}, 4 deadline
 * Reply 1, or 0 when the user is not there
 */
export const PRESENCE_UPDATE = change(7, PRESENCE + `
use(1)
local known = redis.call('HGET', users, ARGV[2])
if not known then return 0 end
if bare(known) ~= ARGV[3] then announce({}, {}, { { ARGV[2], ARGV[3] } }) end
return 1
`)

/**
 * Removes what has expired and what dead nodes held, from many rooms, whatever comes of one of them.
 *
 * KEYS  of each room as PRESENCE_JOIN
 * ARGV  1 run, 2 dead nodes, 3 as of when, 4 '1' to leave what has expired alone, then per room: 5 where to continue,
 *       '0' to begin
 * Reply per room where to continue, '0' for nowhere; or its error
 */
export const PRESENCE_SWEEP = script(7, PRESENCE + FAILURE + `
local dead, reply = parse(ARGV[2], ARGV[3]), {}
local function step (cursor)
  repair(${LEASE})
  if ARGV[4] ~= '1' then sweep() end
  return dead and bury(dead, cursor) or '0'
end
for i = 1, #KEYS / 7 do
  use((i - 1) * 7 + 1)
  local isSwept, cursor = pcall(step, ARGV[4 + i])
  reply[i] = isSwept and cursor or failure(cursor)
end
return reply
`)

/**
 * Removes what has expired, then lists the users. A server that refuses to write lists those that are shown.
 *
 * KEYS  as PRESENCE_JOIN
 * ARGV  1 run, 2 most users in a list, 3 '1' to leave what has expired alone
 * Reply {sequence, total, JSON, JSON, ...}
 */
export const PRESENCE_LOOK = script(7, PRESENCE + `
use(1)
pcall(repair, ${LEASE})
if ARGV[3] ~= '1' then pcall(sweep) end
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
 * Reads what a node has missed that has told the changes up to a sequence. Data older than what it has seen do not
 * include the last of these changes, and nothing would ever take them back: so the sequence continues above everything
 * that the node has seen, and members ask. Where the newest change is not kept any more, its number may be the one that
 * follows, and members would take it for an ordinary change: the empty one behind it leaves a hole for whoever has
 * missed it, and tells the others nothing.
 *
 * KEYS  as PRESENCE_JOIN
 * ARGV  1 run, 2 the sequence that it has told, 3 that it has seen
 * Reply {the newest sequence or '', change, change, ...}: all changes that are kept, newest first, or none where the
 *       node has missed none
 */
export const PRESENCE_MISSED = script(7, PRESENCE + `
use(1)
local sequence = redis.call('HGET', meta, 'sequence')
if sequence == ARGV[2] and sequence == ARGV[3] then return { sequence } end
if not sequence or tonumber(sequence) < tonumber(ARGV[3]) then
  redis.call('HSET', meta, 'sequence', ARGV[3])
  redis.call('HDEL', meta, 'run')
  announce({}, {})
  keep()
else
  local newest = redis.call('LRANGE', changes, 0, 0)[1]
  if not newest or string.match(newest, '^{"sequence":(%d+)') ~= sequence then announce({}, {}) end
end
sequence = redis.call('HGET', meta, 'sequence')
local reply = redis.call('LRANGE', changes, 0, -1)
table.insert(reply, 1, sequence)
return reply
`)
