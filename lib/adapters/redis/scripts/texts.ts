import { DAY, MAX_TEXTS } from '../../../retention/bounds.js'
import { change, CLOCK, PROLONG, script } from './script.js'

/**
 * The texts of a room. Of each there are a hash, its state, and a string, the inside of its JSON. The hash has the
 * `writer`, the `number` of its last step and when its `lease` is over, the versions with which the text `begun` and
 * was changed last, its length `to`, its `head` and `end` as lines, what is `before` the inside, and when it `ended`.
 * The texts that grow and those that have ended are in two sorted sets, by version and by the time of the end.
 *
 * use(first) takes the keys of one text: meta, channel, growing, ended, state, inside. tell() gives a stretch to all
 * nodes; finish() and lose() end a text.
 */
const TEXTS = CLOCK + PROLONG + `
local meta, channel, growing, ended, state, inside
local function use (first)
  meta, channel, growing, ended, state, inside = unpack(KEYS, first, first + 5)
end
local function nextVersion ()
  local version = text(math.max(tonumber(redis.call('HGET', meta, 'version') or '0') + 1, micros()))
  redis.call('HSET', meta, 'version', version)
  prolong(meta, ${DAY})
  return version
end
local function tell (version, begun, from, to, head, finished, before, stretch)
  redis.call('SPUBLISH', channel, 'a ' .. version .. ' ' .. begun .. ' ' .. from .. ' ' .. to .. '\\n' ..
    head .. '\\n' .. finished .. '\\n' .. before .. '\\n' .. stretch)
end
local function finish (name, ttl)
  local now = text(millis())
  redis.call('HSET', state, 'ended', now)
  redis.call('PEXPIRE', state, ttl)
  redis.call('PEXPIRE', inside, ttl)
  redis.call('ZREM', growing, name)
  redis.call('ZADD', ended, now, name)
  redis.call('PEXPIRE', ended, ${DAY})
end
local function lose (name, ttl)
  local known = redis.call('HMGET', state, 'begun', 'to', 'head', 'before')
  local version = nextVersion()
  redis.call('HSET', state, 'end', '"lost"', 'version', version)
  finish(name, ttl)
  tell(version, known[1], known[2], known[2], known[3], '"lost"', known[4], '')
end
`

/** Texts of a full room that are ended at a time because their writers are gone. */
const AT_ONCE = 16

/**
 * Takes one step of a writer.
 *
 * KEYS  1 meta, 2 channel, 3 growing, 4 ended, 5 state, 6 inside
 * ARGV  1 name, 2 writer, 3 number, 4 lease in ms, 5 ttl in ms, 6 head, 7 end or '', 8 before, 9 what goes between
 *       items, 10 inside, 11 from, 12 to, 13 deadline
 * Reply the result, as TextWritten names it
 *
 * A text that gives way is of the same room, so its keys are found by those of this one.
 */
export const TEXT_WRITE = change(6, TEXTS + `
use(1)
local name, writer, number, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
local known = redis.call('HMGET', state, 'writer', 'number', 'lease', 'end', 'to', 'begun', 'version', 'ended')
local isOwn = known[1] == writer
if isOwn and known[2] == number then return 'written' end
local now = millis()
if number == '0' then
  if known[1] and known[4] == '' then
    if tonumber(known[3]) > now then return 'busy' end
    lose(name, ttl)
  -- The server drops an expired key a moment later than it is no longer named.
  elseif known[1] and known[4] ~= '"lost"' and known[8] + ttl > now then return 'ended' end
  redis.call('ZREM', ended, name)
  redis.call('ZREMRANGEBYSCORE', ended, '-inf', text(now - ttl))
  local rest, others = string.sub(state, 1, #state - #name), string.sub(inside, 1, #inside - #name)
  if redis.call('ZCARD', growing) >= ${MAX_TEXTS} then
    -- Where no node has members nobody else notices that writers are gone.
    local lost = 0
    for _, each in ipairs(redis.call('ZRANGE', growing, 0, -1)) do
      local lease = redis.call('HGET', rest .. each, 'lease')
      if not lease then redis.call('ZREM', growing, each)
      elseif lost < ${AT_ONCE} and tonumber(lease) <= now then
        state, inside = rest .. each, others .. each
        lose(each, ttl)
        lost = lost + 1
      end
    end
    use(1)
    if redis.call('ZCARD', growing) >= ${MAX_TEXTS} then return 'full' end
  end
  if redis.call('ZCARD', growing) + redis.call('ZCARD', ended) >= ${MAX_TEXTS} then
    local first = redis.call('ZPOPMIN', ended)[1]
    redis.call('UNLINK', rest .. first, others .. first)
  end
elseif not known[1] then
  if ARGV[11] ~= '0' then return 'behind' end
elseif not isOwn or known[4] ~= '' then return 'lost'
elseif ARGV[11] ~= '0' and (tonumber(known[2]) ~= number - 1 or known[5] ~= ARGV[11]) then return 'behind'
-- A server whose policy evicts may have removed the inside alone, and the rest would be taken for the whole.
elseif ARGV[11] ~= '0' and redis.call('EXISTS', inside) == 0 then return 'behind' end
local isNew = number == '0' or not known[1]
local hasNews = ARGV[10] ~= '' or ARGV[7] ~= ''
local version = known[7]
if isNew or hasNews then version = nextVersion() end
local begun = isNew and version or known[6]
if ARGV[11] == '0' then redis.call('SET', inside, ARGV[10])
elseif ARGV[10] ~= '' then redis.call('APPEND', inside, ARGV[9] .. ARGV[10]) end
redis.call('HSET', state, 'writer', writer, 'number', number, 'lease', text(now + ARGV[4]), 'begun', begun,
  'version', version, 'to', ARGV[12], 'head', ARGV[6], 'end', ARGV[7], 'before', ARGV[8])
if ARGV[7] ~= '' then finish(name, ttl)
else
  redis.call('PEXPIRE', state, ${DAY})
  redis.call('PEXPIRE', inside, ${DAY})
  redis.call('ZADD', growing, version, name)
  redis.call('PEXPIRE', growing, ${DAY})
end
if isNew or hasNews then tell(version, begun, ARGV[11], ARGV[12], ARGV[6], ARGV[7], ARGV[8], ARGV[10]) end
return 'written'
`)

/**
 * Ends texts whose writer's lease is over, and tells which ones are not as a node knows them. A server that refuses to
 * write ends none for now, and tells of the others.
 *
 * KEYS  of each text as TEXT_WRITE
 * ARGV  1 ttl in ms, then per text: 2 name, 3 version that is known; last the deadline
 * Reply the version of each, '' where it is gone
 */
export const TEXT_CHECK = change(6, TEXTS + `
local reply = {}
for i = 1, #KEYS / 6 do
  use((i - 1) * 6 + 1)
  local known = redis.call('HMGET', state, 'end', 'lease')
  if known[1] == '' and tonumber(known[2]) <= millis() then pcall(lose, ARGV[i * 2], ARGV[1]) end
  reply[i] = redis.call('HGET', state, 'version') or ''
end
return reply
`)

/**
 * Empties texts, and ends them as lost.
 *
 * KEYS  of each text as TEXT_WRITE
 * ARGV  1 ttl in ms, then the name of each text; last the deadline
 */
export const TEXT_CLEAR = change(6, TEXTS + `
for i = 1, #KEYS / 6 do
  use((i - 1) * 6 + 1)
  local known = redis.call('HMGET', state, 'begun', 'head', 'before', 'end', 'to')
  if known[1] and (known[4] ~= '"lost"' or known[5] ~= '0') then
    local version = nextVersion()
    redis.call('HSET', state, 'end', '"lost"', 'version', version, 'to', 0)
    redis.call('SET', inside, '')
    finish(ARGV[i + 1], ARGV[1])
    tell(version, known[1], '0', '0', known[2], '"lost"', known[3], '')
  end
end
`)

/**
 * Names the texts of a room.
 *
 * KEYS  1 growing, 2 ended
 * ARGV  1 ttl in ms
 */
export const TEXT_NAMES = script(2, CLOCK + `
local names = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. text(millis() - ARGV[1]), '+inf')) do
  names[#names + 1] = name
end
return names
`)

/**
 * Reads texts.
 *
 * KEYS  of each text 1 state, 2 inside
 * Reply per text {version, begun, to, milliseconds since its end or '', head, end, before, inside}, or {} where it is
 *       gone
 */
export const TEXT_READ = script(2, CLOCK + `
local reply = {}
for i = 1, #KEYS / 2 do
  local known = redis.call('HMGET', KEYS[i * 2 - 1], 'version', 'begun', 'to', 'ended', 'head', 'end', 'before')
  local inside = redis.call('GET', KEYS[i * 2])
  if known[1] and inside then
    local age = ''
    if known[6] ~= '' then age = text(math.max(0, millis() - known[4])) end
    reply[i] = { known[1], known[2], known[3], age, known[5], known[6], known[7], inside }
  else reply[i] = {} end
end
return reply
`)
