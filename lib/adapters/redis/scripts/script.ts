import { createHash } from 'node:crypto'
import { HELD } from '../../broker/nodes.js'

/**
 * A Lua script. It runs as one atomic step on the shard of its keys, all of which carry the hash tag of one room (or of
 * one key).
 */
export interface Script {
  readonly lua: string
  readonly sha: string
  /** Number of keys of one item; a script for many items gets the keys of all of them, one item after the other. */
  readonly keys: number
  /** Whether its last argument is the server time in ms after which it does nothing any more, 0 for never. */
  readonly isBounded: boolean
}

/**
 * Milliseconds above which a time ahead of the clock was noted by a server with another clock, whose place this one
 * took: it was before now, and that is all it tells.
 */
export const AHEAD = 1_000

export function script (keys: number, lua: string, isBounded = false): Script {
  return { lua, keys, isBounded, sha: createHash('sha1').update(lua).digest('hex') }
}

/**
 * Makes a script that changes something. Once its caller has given up it must not run any more, since a client, a proxy
 * or a server that stood still may hold a command for any time.
 */
export function change (keys: number, lua: string): Script {
  return script(keys, DEADLINE + lua, true)
}

/**
 * isLate() tells whether the deadline is past, for the error EXPIRED. The deadline is taken off the arguments, so that
 * lists may end them.
 */
export const LATE = `
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

/** In front of the error of one item in the reply of a script that goes on with the others. */
export const FAILED = '!'

/** failure(error) is the reply for an item whose step has raised that. */
export const FAILURE = `
local function failure (error) return '${FAILED}' .. (type(error) == 'table' and error.err or tostring(error)) end
`

/** Server time, in microseconds where order matters. */
export const CLOCK = `
local function micros () local t = redis.call('TIME') return t[1] * 1000000 + t[2] end
local function millis () return math.floor(micros() / 1000) end
local function text (number) return string.format('%.0f', number) end
`

/**
 * prolong(meta, ms) keeps the metadata of a room for that long at least: it has to outlive the room's events, which
 * another call may have kept for longer. A server that refuses to write keeps it for as long as before.
 */
export const PROLONG = `
local function prolong (meta, ms)
  if redis.call('PTTL', meta) < ms then redis.pcall('PEXPIRE', meta, text(ms)) end
end
`

/**
 * An entry that lives as long as its node has the mark `<node> <ttl>@<stamp>` or `<node> <ttl> <fence>@<stamp>`, and is
 * kept until HELD at the latest. parse(list, at) reads nodes that had been silent for a while at that time,
 * `<node> <time>` each. isDead(dead, mark, score, now) tells whether an entry is held by one of them, and was neither
 * taken nor its node heard of within its ttl, as far as the caller can know: a node that it lost sight of may have been
 * heard of since. When it was taken does not count where a clock that was ahead has noted it. The stamp is the
 * time at which it was taken, and the fence counts how often its node has done so: isLater(mark, node, stamp, fence)
 * tells whether another node took it later, or the same one with a higher fence, or it cannot be told; nextStamp(mark)
 * is above that of a mark; marked(mark, known, stamp, fence) is what replaces the known one, with the higher fence of
 * the two where both are of one node. NOBODY is the mark of an entry that no node holds, and that was taken before all
 * others.
 */
export const DEAD = `
local knownAt
local NOBODY = '- 0@0'
local function parse (list, at)
  local dead
  knownAt = tonumber(at)
  for node, at in string.gmatch(list, '(%S+) (%d+)') do
    dead = dead or {}
    dead[node] = tonumber(at)
  end
  return dead
end
local function isDead (dead, mark, score, now)
  local node, ttl = string.match(mark, '^(%S+) (%d+)')
  local at = node and dead[node]
  local taken = tonumber(score) - ${HELD}
  if taken > now + ${AHEAD} then taken = 0 end
  return at ~= nil and math.max(at, taken) + tonumber(ttl) <= math.min(now, knownAt)
end
local function nodeOf (mark) return string.match(mark, '^[^%s.]+') end
local function stampOf (mark)
  local stamp = mark and string.match(mark, '@(%d+)$')
  return stamp and tonumber(stamp)
end
local function fenceOf (mark) return tonumber(string.match(mark, '^%S+ %d+ (%d+)@') or '0') end
local function marked (mark, known, stamp, fence)
  local highest = tonumber(fence) or 0
  if known and nodeOf(known) == nodeOf(mark) then highest = math.max(highest, fenceOf(known)) end
  return mark .. (highest > 0 and ' ' .. text(highest) or '') .. '@' .. stamp
end
local function isLater (mark, node, stamp, fence)
  if not mark then return false end
  if nodeOf(mark) == node then return fence ~= '' and fenceOf(mark) > tonumber(fence) end
  local known = stampOf(mark)
  return not known or known > tonumber(stamp)
end
local function nextStamp (mark) return math.max(millis(), (stampOf(mark) or 0) + 1) end
`
