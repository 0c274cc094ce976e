import { createHash } from 'node:crypto'
import { HELD } from '../../broker/nodes.js'

/**
 * A Lua script: run as one atomic step on the shard of its keys, all of which carry the hash tag of one room (or of one
 * key).
 */
export interface Script {
  readonly lua: string
  readonly sha: string
  /** keys of one item; a script for many is given those of all of them, one after the other */
  readonly keys: number
  /** its last argument is the server time in ms after which it does nothing any more, 0 for never */
  readonly isBounded: boolean
}

export function script (keys: number, lua: string, isBounded = false): Script {
  return { lua, keys, isBounded, sha: createHash('sha1').update(lua).digest('hex') }
}

/**
 * A script that changes something. What its caller has given up must not happen later: a client, a proxy or a server
 * that stood still may hold a command for as long as it likes.
 */
export function change (keys: number, lua: string): Script {
  return script(keys, DEADLINE + lua, true)
}

/** isLate(): the deadline is past; error EXPIRED. It is taken off the arguments, so that lists may end them. */
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

/** Server time; in microseconds where order matters. */
export const CLOCK = `
local function micros () local t = redis.call('TIME') return t[1] * 1000000 + t[2] end
local function millis () return math.floor(micros() / 1000) end
local function text (number) return string.format('%.0f', number) end
`

/**
 * What lives as long as its node is marked `<node> <ttl>@<stamp>`, and stands until HELD at the latest. parse(list)
 * takes nodes that were not heard of for a while, `<node> <time>` each; isDead(dead, mark, score, now) tells whether
 * something is held by one of them, and was neither taken nor its node heard of within its ttl. The stamp tells when
 * it was taken: isLater(mark, node, stamp) whether another node took it later, or nobody can tell; nextStamp(mark) is
 * above that of a mark.
 */
export const DEAD = `
local function parse (list)
  local dead
  for node, at in string.gmatch(list, '(%S+) (%d+)') do
    dead = dead or {}
    dead[node] = tonumber(at)
  end
  return dead
end
local function isDead (dead, mark, score, now)
  local node, ttl = string.match(mark, '^(%S+) (%d+)')
  local at = node and dead[node]
  return at ~= nil and math.max(at, tonumber(score) - ${HELD}) + tonumber(ttl) <= now
end
local function nodeOf (mark) return string.match(mark, '^[^%s.]+') end
local function stampOf (mark)
  local stamp = mark and string.match(mark, '@(%d+)$')
  return stamp and tonumber(stamp)
end
local function isLater (mark, node, stamp)
  if not mark or nodeOf(mark) == node then return false end
  local known = stampOf(mark)
  return not known or known > tonumber(stamp)
end
local function nextStamp (mark) return math.max(millis(), (stampOf(mark) or 0) + 1) end
`
